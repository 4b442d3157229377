package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	shuffle "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"parvis"
	"parvis/internal/audit"
	"parvis/internal/config"
	"parvis/internal/credential"
	"parvis/internal/demo"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// The applications that are visited.
const (
	pay    parvis.AppID = "paie"     // behind the door itself
	relay  parvis.AppID = "wiki"     // behind another proxy, which asks
	client parvis.AppID = "registre" // by OpenID Connect: no visits, sessions alone
)

const (
	people   = 55_000 // of the largest city of the evidence
	password = "quatre lanternes sur le parvis mouille"
	cookie   = "parvis-app=" // what an application's host holds, on plain HTTP
	chip     = "parvis="     // what the portal's does
	chunk    = 20_000        // rows in one transaction
	patience = time.Minute
)

// city is a folder in which the door can be started: keys, database,
// configuration.
type city struct {
	dir, file  string
	app        parvis.AppID
	address    string // of the internal entrance
	operations string
	portal     string // its host name
	cookies    string // a file: 43 bytes for each visit
	visits     int
}

func number(n int) parvis.AgentNumber { return parvis.AgentNumber(fmt.Sprintf("B%06d", n)) }

// found makes a city of agents who have a password. They share one hash: what
// it costs to examine is the same.
func (b *bench) found(ctx context.Context, agents int) (*city, error) {
	c := &city{dir: filepath.Join(b.work, "base")}
	return c, c.write(ctx, func(s *store.Store, keys *seal.Keys) error {
		vault := &credential.Vault{Store: s, Keys: keys, Clock: time.Now}
		hashed, err := vault.Hash(ctx, password)
		if err != nil {
			return err
		}
		since := time.Now().AddDate(-3, 0, 0)
		for from := 0; from < agents; from += chunk {
			err := s.Write(ctx, func(tx *store.Tx) error {
				var some []*parvis.Agent
				for n := from; n < min(from+chunk, agents); n++ {
					some = append(some, &parvis.Agent{
						Number: number(n), FamilyName: fmt.Sprint("Famille", n), GivenNames: "Camille", ContractFrom: since,
						Unit: parvis.UnitPath(fmt.Sprintf("ville/direction-%d/service-%d", n%20, n%300)), Employer: "21750001600019",
						Category: "tenured", JobCode: fmt.Sprintf("A%03d", n%400), Email: fmt.Sprintf("agent.%d@example.org", n),
					})
				}
				tx.Record(parvis.Event{Kind: "agent.imported", Actor: "operator:bench"})
				if err := tx.PutAgents(ctx, some); err != nil {
					return err
				}
				for _, a := range some {
					if err := vault.SetPassword(ctx, tx, a.Number, hashed, 0); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// write opens the database of a city, and closes it again.
func (c *city) write(ctx context.Context, act func(*store.Store, *seal.Keys) error) error {
	keys, err := seal.OpenKeys(filepath.Join(c.dir, "keys"))
	if err != nil {
		return err
	}
	signer, verifier := keys.Note()
	s, err := store.Open(ctx, store.Options{
		URL: "sqlite:" + filepath.Join(c.dir, "parvis.db"), Clock: time.Now,
		Heads: audit.Notary{Signer: signer, Verifier: verifier}, HeadFile: filepath.Join(c.dir, "heads"),
	})
	if err != nil {
		return err
	}
	return errors.Join(act(s, keys), s.Close())
}

// copy makes another city of the same people, with so many live sessions and
// one visit of each to an application, which answers at upstream.
func (b *bench) copy(ctx context.Context, name string, app parvis.AppID, sessions int, upstream string) (*city, error) {
	c := &city{dir: filepath.Join(b.work, name), app: app, visits: sessions}
	if err := copyTree(c.dir, b.base.dir); err != nil {
		return nil, err
	}
	if err := c.configure(upstream); err != nil {
		return nil, err
	}
	if sessions == 0 {
		return c, nil
	}
	c.cookies = filepath.Join(c.dir, "cookies")
	rows, began := make([]row, sessions), time.Now()
	for i := range rows {
		secret, hash := seal.Token()
		rows[i] = row{secret: secret, visit: parvis.SessionID(hash[:16])}
		if rows[i].session = rows[i].visit; app != client {
			_, _ = rand.Read(rows[i].session[:]) // crypto/rand.Read never fails
		}
	}
	// In the order of the indexes: it is four times as fast.
	slices.SortFunc(rows, func(a, b row) int { return bytes.Compare(a.session[:], b.session[:]) })
	err := c.write(ctx, func(s *store.Store, _ *seal.Keys) error {
		for from := 0; from < sessions; from += chunk {
			if time.Since(began) > patience {
				rows, c.visits = rows[:from], from
				b.note("after %v only %d of %d sessions were written: the machine was busy", patience, from, sessions)
				return nil
			}
			some := rows[from:min(from+chunk, sessions)]
			if err := s.Write(ctx, func(tx *store.Tx) error { return c.begin(ctx, tx, from, some) }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	shuffle.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	var cookies bytes.Buffer
	for i := range rows {
		cookies.WriteString(rows[i].secret)
	}
	return c, os.WriteFile(c.cookies, cookies.Bytes(), 0o600)
}

// row is a session and its one visit, or a session alone: they have one name
// then.
type row struct {
	session, visit parvis.SessionID
	secret         string
}

// begin writes sessions and their visits as the keeper does, with one event for
// all of them: the trail is not what is measured.
func (c *city) begin(ctx context.Context, tx *store.Tx, from int, some []row) error {
	now := tx.Now()
	for i, r := range some {
		err := tx.AddSession(ctx, store.SessionRow{Browser: "Firefox, Linux", Address: "127.0.0.1", Session: parvis.Session{
			ID: r.session, Agent: number(int(int64(from+i) * people / int64(c.visits))), Channel: parvis.Internal,
			Proofs: []parvis.Proof{{Kind: parvis.Password, At: now}}, Began: now, LastSeen: now, Ends: now.Add(10 * time.Hour), Epoch: 1,
		}})
		if err != nil {
			return err
		}
	}
	tx.Record(parvis.Event{Kind: "bench.began", Actor: "operator:bench"})
	if c.app == client {
		return nil
	}
	slices.SortFunc(some, func(a, b row) int { return bytes.Compare(a.visit[:], b.visit[:]) })
	for i, r := range some {
		v := store.VisitRow{ID: r.visit, Session: r.session, App: c.app, Host: c.host(), Began: now}
		binary.BigEndian.PutUint64(v.Ticket[:], uint64(from+i))
		if _, err := tx.AddVisit(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// host is the name of the application's host.
func (c *city) host() string { return string(c.app) + "." + c.portal }

// configure writes the file of an installation with the applications of the
// demonstration and two more; everything else keeps its default.
func (c *city) configure(upstream string) error {
	var err1, err2 error
	c.address, err1 = port()
	c.operations, err2 = port()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	_, at, err := net.SplitHostPort(c.address)
	if err != nil {
		return err
	}
	c.portal = "agents.localhost:" + at
	f := config.Default()
	f.Data, f.Operations, f.Portals.Internal = c.dir, c.operations, "http://"+c.portal
	f.Entrances = []config.Entrance{{Channel: string(parvis.Internal), Listen: c.address}}
	for _, a := range demo.Apps() {
		one := config.App{
			ID: string(a.ID), Name: config.Words(a.Name), Purpose: config.Words(a.Purpose), Group: config.Words(a.Group), Owner: config.Words(a.Owner),
			Upstream: "http://" + upstream, Entitled: a.Entitled, Second: a.Second, OfficeHours: a.OfficeHours,
			HRDocuments: a.HRDocuments, HRService: a.HRService,
		}
		for _, ch := range a.Channels {
			one.Channels = append(one.Channels, string(ch))
		}
		f.Applications = append(f.Applications, one)
	}
	asks, speaks := f.Applications[0], f.Applications[0]
	asks.ID, asks.Upstream, asks.Forward = string(relay), "", true
	speaks.ID, speaks.Upstream, speaks.OIDC = string(client), "", config.OIDC{
		Redirects: []string{callback}, Secrets: []config.Secret{{SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(clientSecret)))}},
	}
	f.Applications = append(f.Applications, asks, speaks)
	if c.app == relay {
		f.Entrances[0].Proxies, f.Entrances[0].Networks = []string{"127.0.0.1/32"}, []string{"10.0.0.0/8"}
	}
	b, err := yaml.Marshal(f)
	if err != nil {
		return err
	}
	c.file = filepath.Join(c.dir, "parvis.yaml")
	return os.WriteFile(c.file, b, 0o600)
}

// copyTree copies a folder; what is in it stays its owner's alone.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		if d.IsDir() {
			return os.Mkdir(target, 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o600)
	})
}
