package demo

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pquerna/otp/totp"

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

	Dir    string // where the secrets of authenticators are kept, for the telephones of visitors
	Issuer string // the address of the embedded verifier
	// Account opens an account there and answers its subject.
	Account func(ctx context.Context, email, name string, password seal.Secret) (string, error)
}

// Settle makes the people of the city, once: it does nothing in a city that
// has some. It answers who they are and what they hold; codes that are handed
// over are issued at every start.
func (c *City) Settle(ctx context.Context) ([]Person, error) {
	all := people()
	complete(all)
	_, err := c.Store.Agent(ctx, all[0].Number)
	founding := parvis.CodeOf(err) == parvis.CodeNotFound
	if founding {
		err = c.arrive(ctx, all)
	}
	if err != nil {
		return nil, err
	}
	if err := c.tie(ctx, all, founding); err != nil {
		return nil, err
	}
	if err := c.recall(all); err != nil {
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
	kept, err := c.prepare(ctx, all)
	if err != nil {
		return err
	}
	for i := range all {
		if err := c.equip(ctx, &all[i], kept[i]); err != nil {
			return fmt.Errorf("%s: %w", all[i].Number, err)
		}
	}
	return nil
}

// kit is what is prepared for one person.
type kit struct {
	password credential.Hashed
	offer    credential.TOTPOffer
}

// prepare hashes the passwords, as many at once as the vault allows, and keeps
// the secrets of authenticators before anybody has one.
func (c *City) prepare(ctx context.Context, all []Person) ([]kit, error) {
	kits, errs := make([]kit, len(all)), make([]error, len(all))
	var done sync.WaitGroup
	for i := range all {
		p, k := &all[i], &kits[i]
		if p.Password != "" {
			done.Go(func() { k.password, errs[i] = c.Vault.Hash(ctx, seal.Secret(p.Password)) })
		}
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	secrets := map[parvis.AgentNumber]string{}
	for i := range all {
		if !all[i].authenticator {
			continue
		}
		var err error
		if kits[i].offer, err = c.Vault.OfferTOTP(&parvis.Agent{Number: all[i].Number}, issuer, c.Clock()); err != nil {
			return nil, err
		}
		secrets[all[i].Number] = kits[i].offer.Secret.Reveal()
	}
	b, err := json.Marshal(secrets)
	if err != nil {
		return nil, err
	}
	return kits, os.WriteFile(filepath.Join(c.Dir, authenticators), b, 0o600)
}

const (
	issuer = "Ville d'Exemple"
	// authenticators is the file of their secrets. A real installation has none:
	// its secrets are sealed in the database, and in the telephones.
	authenticators = "authenticators.json"
)

// recall reads the secrets that prepare kept.
func (c *City) recall(all []Person) error {
	b, err := os.ReadFile(filepath.Join(c.Dir, authenticators))
	if errors.Is(err, os.ErrNotExist) { // a city older than its authenticators
		return nil
	}
	secrets := map[parvis.AgentNumber]string{}
	if err == nil {
		err = json.Unmarshal(b, &secrets)
	}
	for i := range all {
		all[i].TOTPSecret = secrets[all[i].Number]
	}
	return err
}

// equip gives one person what they hold at the start.
func (c *City) equip(ctx context.Context, p *Person, k kit) error {
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
			if err := c.Vault.SetPassword(ctx, tx, p.Number, k.password, days); err != nil {
				return err
			}
		}
		if p.authenticator {
			if err := c.enrol(ctx, tx, p.Number, k.offer); err != nil {
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

// enrol gives an authenticator as its owner would, with the code of the half
// minute before: the present one stays to be used.
func (c *City) enrol(ctx context.Context, tx *store.Tx, number parvis.AgentNumber, offer credential.TOTPOffer) error {
	code, err := totp.GenerateCode(offer.Secret.Reveal(), tx.Now().Add(-30*time.Second))
	if err != nil {
		return err
	}
	_, verdict, err := c.Vault.EnrolTOTP(ctx, tx, number, offer.Ticket, seal.Secret(code), "Téléphone de service")
	if err == nil && !verdict.OK {
		err = fmt.Errorf("the authenticator was refused: %s", verdict.Reason.Code)
	}
	return err
}

// tie opens accounts at the verifier and ties them: of everybody at first; later
// of those whose account is at an address that the verifier has left.
func (c *City) tie(ctx context.Context, all []Person, founding bool) error {
	errs := make([]error, len(all))
	var done sync.WaitGroup
	for i := range all {
		if all[i].Verifier != nil {
			done.Go(func() { errs[i] = c.tieOne(ctx, &all[i], founding) })
		}
	}
	done.Wait()
	return errors.Join(errs...)
}

func (c *City) tieOne(ctx context.Context, p *Person, founding bool) error {
	links, err := c.Store.Links(ctx, p.Number)
	here := slices.ContainsFunc(links, func(l store.Link) bool { return l.Issuer == c.Issuer })
	if err != nil || here || len(links) == 0 && !founding {
		return err
	}
	subject, err := c.Account(ctx, p.Verifier.Email, p.Name, seal.Secret(p.Verifier.Password))
	if err != nil {
		return err
	}
	// As the verifier's client shows accounts: figures that are not taken from them.
	sum := c.Vault.Keys.MAC("verifier label", []byte(c.Issuer), []byte(subject))
	label := fmt.Sprintf("•••%03d", binary.BigEndian.Uint32(sum[:4])%1000)
	return c.Store.Write(ctx, func(tx *store.Tx) error {
		tx.Record(parvis.Event{Kind: "verifier.linked", Agent: p.Number, Actor: seeder, Detail: map[string]string{"issuer": c.Issuer, "level": level, "label": label}})
		for _, l := range links {
			if _, err := tx.DropLink(ctx, p.Number, l.Issuer); err != nil {
				return err
			}
		}
		return tx.PutLink(ctx, store.Link{Agent: p.Number, Issuer: c.Issuer, Subject: subject, Level: level, Label: label, At: tx.Now()})
	})
}

// level is what the embedded verifier says of a password.
const level = "eidas1"
