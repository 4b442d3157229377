package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/recovery"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// seeder is who gives out what a city starts with, for the record.
const seeder = "operator:demo"

// City is the acts through which the people of the city come to be.
type City struct {
	Store     *store.Store
	Directory *directory.Directory
	Vault     *credential.Vault
	Desk      *recovery.Desk
	Clock     func() time.Time
	Zone      *time.Location
}

// Settle makes the people of the city, once: it does nothing in a city that
// has some. It answers who they are and what they hold; codes that are handed
// over are issued at every start.
func (c *City) Settle(ctx context.Context) ([]Person, error) {
	all := people()
	complete(all)
	_, err := c.Store.Agent(ctx, all[0].Number)
	if parvis.CodeOf(err) == parvis.CodeNotFound {
		err = c.arrive(ctx, all)
	}
	if err != nil {
		return nil, err
	}
	for i := range all {
		p := &all[i]
		if !p.activationCode {
			continue
		}
		st, err := c.Store.Standing(ctx, p.Number)
		if err != nil {
			return nil, err
		}
		if st.Activated {
			continue
		}
		code, _, err := c.Desk.Issue(ctx, p.Number, seeder)
		if err != nil {
			return nil, fmt.Errorf("activation code of %s: %w", p.Number, err)
		}
		p.ActivationCode = code.Reveal()
	}
	return all, nil
}

// arrive imports the HR file and hands out what IT gives.
func (c *City) arrive(ctx context.Context, all []Person) error {
	file, err := c.Directory.Read(strings.NewReader(hrFile(all, c.Clock().In(c.Zone))))
	if err != nil {
		return err
	}
	plan, err := c.Directory.Plan(ctx, file)
	if err != nil {
		return err
	}
	if len(plan.Faults) > 0 {
		return fmt.Errorf("the HR file of the city: %v", plan.Faults)
	}
	if _, err := c.Directory.Apply(ctx, plan, seeder, nil); err != nil {
		return err
	}
	hashes, err := c.hash(ctx, all)
	if err != nil {
		return err
	}
	for i := range all {
		if err := c.equip(ctx, &all[i], hashes[i]); err != nil {
			return fmt.Errorf("%s: %w", all[i].Number, err)
		}
	}
	return nil
}

// hash prepares the passwords, as many at once as the vault allows.
func (c *City) hash(ctx context.Context, all []Person) ([]credential.Hashed, error) {
	hashes, errs := make([]credential.Hashed, len(all)), make([]error, len(all))
	var done sync.WaitGroup
	for i := range all {
		if all[i].Password != "" {
			done.Go(func() { hashes[i], errs[i] = c.Vault.Hash(ctx, seal.Secret(all[i].Password)) })
		}
	}
	done.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// equip gives one person what they hold at the start.
func (c *City) equip(ctx context.Context, p *Person, h credential.Hashed) error {
	if p.Profile != parvis.Standard {
		if err := c.Directory.SetProfiles(ctx, p.Number, []parvis.ProfileID{p.Profile}, seeder); err != nil {
			return err
		}
	}
	for _, app := range p.entitled {
		if err := c.Directory.Entitle(ctx, p.Number, app, seeder); err != nil {
			return err
		}
	}
	if p.role != "" {
		var units []parvis.UnitPath
		if p.role == parvis.RoleITContact {
			units = []parvis.UnitPath{unitFinances, unitStreets}
		}
		if err := c.Directory.GrantRole(ctx, p.Number, p.role, units, seeder); err != nil {
			return err
		}
	}
	if p.off {
		if err := c.Directory.MarkOff(ctx, p.Number, unitOffice, seeder); err != nil {
			return err
		}
	}
	return c.Store.Write(ctx, func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "demo.settled", Agent: p.Number, Actor: seeder})
		if p.Password != "" {
			days := 0
			if p.Profile == parvis.ExtendedRights {
				days = 365
			}
			if err := c.Vault.SetPassword(ctx, tx, p.Number, h, days); err != nil {
				return err
			}
		}
		for _, kind := range p.enrolled {
			if err := tx.SetEnrolled(ctx, p.Number, kind); err != nil {
				return err
			}
		}
		if p.linked {
			if err := tx.SetVerifierLinked(ctx, p.Number, "http://moncompte.localhost:8082", "demo-"+string(p.Number)); err != nil {
				return err
			}
		}
		if p.validated {
			return tx.PutDevice(ctx, parvis.Device{
				ID: parvis.DeviceID("demo-laptop-" + string(p.Number)), Agent: p.Number, Name: "Portable de service", Validated: true,
				FirstSeen: tx.Now(), LastSeen: tx.Now(),
			}, nil)
		}
		return nil
	})
}
