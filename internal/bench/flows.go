package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

const (
	flowBrowsers = 5000 // of those signed in, how many come
	flowHands    = 8
	flowSeconds  = 3
)

// provider is one of those that give codes: what its flows and its refreshes
// were like.
type provider struct {
	peer     // its flows
	renewals peer
}

// ask has a client ask a provider.
func (b *bench) ask(ctx context.Context, c *city, o *provider, more ...string) error {
	p, err := b.launch(ctx, b.others, append([]string{
		b.self, "party", "-to", o.address, "-host", c.portal, "-cookies", c.cookies, "-visits", strconv.Itoa(flowBrowsers),
		"-hands", strconv.Itoa(flowHands), "-pid", strconv.Itoa(o.p.pid()),
	}, more...)...)
	if err != nil {
		return err
	}
	defer p.stop()
	out := json.NewDecoder(p.out)
	for _, of := range []*peer{&o.peer, &o.renewals} {
		var r result
		if err := out.Decode(&r); err != nil {
			errs, _ := os.ReadFile(filepath.Join(b.work, "errors"))
			return fmt.Errorf("%s: %w\n%s", o.name, err, errs[max(0, len(errs)-4000):])
		}
		if slices.Contains(more, "-each") {
			return nil
		}
		of.rate, of.p99, of.micros = append(of.rate, r.rate()), append(of.p99, r.P99), append(of.micros, r.Micros)
	}
	return nil
}

// flows compares the door, as an OpenID provider, with the least that one can
// do, and with itself when it keeps very many grants.
func (b *bench) flows(ctx context.Context) error {
	var doors []*provider
	var cities []*city
	for _, grants := range []int{0, b.many} {
		c, err := b.copy(ctx, fmt.Sprint("flows-", grants), client, hopSessions, "127.0.0.1:9")
		if err != nil {
			return err
		}
		if grants, err = b.grants(ctx, c, grants); err != nil {
			return err
		}
		p, _, err := b.serve(ctx, b.served, c)
		if err != nil {
			return err
		}
		defer p.stop()
		door := &provider{peer: peer{name: fmt.Sprintf("%d grants", grants), address: c.address, p: p}}
		if err := settle(ctx, p.pid()); err != nil {
			return err
		}
		if err := b.ask(ctx, c, door, "-each", "-seconds", "60"); err != nil {
			return err
		}
		if err := settle(ctx, p.pid()); err != nil {
			return err
		}
		doors, cities = append(doors, door), append(cities, c)
	}
	issuer := "http://" + cities[0].portal
	memory, err := b.simple(ctx, "an issuer in memory", "issuer", issuer)
	if err != nil {
		return err
	}
	defer memory.p.stop()
	synced, err := b.simple(ctx, "the same with one fsync", "issuer", issuer, filepath.Join(b.work, "journal"))
	if err != nil {
		return err
	}
	defer synced.p.stop()
	limits := []*provider{{peer: *memory}, {peer: *synced}}
	for range b.rounds {
		for i, o := range []*provider{limits[0], limits[1], doors[0], doors[1]} {
			if err := b.ask(ctx, cities[max(0, i-2)], o, "-seconds", strconv.Itoa(flowSeconds)); err != nil {
				return err
			}
		}
	}
	many := []string{"code flows", "refreshes"}
	for i, what := range []string{"code flow", "refresh"} {
		of := func(o *provider) *peer { return []*peer{&o.peer, &o.renewals}[i] }
		for n, least := range []float64{0.7, 0.8} {
			b.rate(many[i]+"/s, against "+limits[n].name, of(doors[0]), of(limits[n]), least)
		}
		for _, l := range limits {
			b.cost("CPU per "+what+", against "+l.name, of(doors[0]), of(l))
			b.tail("p99 of a "+what+", against "+l.name, of(doors[0]), of(l), 0)
		}
		name := fmt.Sprintf("%s against none: ", doors[1].name)
		b.rate(name+many[i]+"/s", of(doors[1]), of(doors[0]), 0.95)
		b.cost(name+"CPU per "+what, of(doors[1]), of(doors[0]))
		b.tail(name+"p99 of a "+what, of(doors[1]), of(doors[0]), 1.3)
	}
	b.note("flows: %d at once, each from an authorization asked by one of %d browsers that are signed in to an ID token checked (PKCE, client_secret_basic); %d rounds of %d s. "+
		"The issuers keep codes in a map, look nobody up, and sign the same two tokens; the fsync is one for all who wait",
		flowHands, flowBrowsers, b.rounds, flowSeconds)
	return nil
}

func (b *bench) rate(what string, ours, limit *peer, least float64) {
	ratio := median(divideAll(ours.rate, limit.rate))
	b.add(line{
		what, fmt.Sprintf("%.0f", median(ours.rate)), fmt.Sprintf("%.0f", median(limit.rate)), fmt.Sprintf("%.2f ×", ratio),
		fmt.Sprintf("≥ %.2f ×", least), holds(ratio >= least),
	})
}

func (b *bench) cost(what string, ours, limit *peer) {
	b.add(line{
		what, fmt.Sprintf("%.0f µs", median(ours.micros)), fmt.Sprintf("%.0f µs", median(limit.micros)),
		fmt.Sprintf("%.2f ×", median(divideAll(ours.micros, limit.micros))), "", told,
	})
}

// tail adds the line of a p99; most 0 is no aim.
func (b *bench) tail(what string, ours, limit *peer, most float64) {
	ratio := median(divideAll(ours.p99, limit.p99))
	l := line{
		what, fmt.Sprintf("%.1f ms", median(ours.p99)), fmt.Sprintf("%.1f ms", median(limit.p99)), fmt.Sprintf("%.2f ×", ratio), "", told,
	}
	if most > 0 {
		l.aim, l.verdict = fmt.Sprintf("≤ %.2f ×", most), holds(ratio <= most)
	}
	b.add(l)
}

// grants writes so many live grants, shared among the sessions of a city, and
// tells how many there was time for. Nobody redeems them: they are only there.
func (b *bench) grants(ctx context.Context, c *city, n int) (int, error) {
	secrets, err := os.ReadFile(c.cookies)
	if err != nil {
		return 0, err
	}
	var sessions []parvis.SessionID
	for one := range slices.Chunk(secrets, secretSize) {
		hash := seal.Hash(string(one))
		sessions = append(sessions, parvis.SessionID(hash[:16]))
	}
	// In the order of the indexes, as sessions are.
	slices.SortFunc(sessions, func(a, b parvis.SessionID) int { return bytes.Compare(a[:], b[:]) })
	names := make([][32]byte, n)
	for i := range names {
		_, _ = rand.Read(names[i][:]) // crypto/rand.Read never fails
	}
	slices.SortFunc(names, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	body, began, written := make([]byte, 200), time.Now(), 0
	err = c.write(ctx, func(s *store.Store, _ *seal.Keys) error {
		for written < n {
			if time.Since(began) > patience {
				b.note("after %v only %d of %d grants were written: the machine was busy", patience, written, n)
				return nil
			}
			from, to := written, min(written+chunk, n)
			err := s.Write(ctx, func(tx *store.Tx) error {
				tx.Record(parvis.Event{Kind: "bench.granted", Actor: "operator:bench"})
				for i := from; i < to; i++ {
					at := i * len(sessions) / n
					_, err := tx.PutGrant(ctx, store.Grant{
						ID: base64.RawURLEncoding.EncodeToString(names[i][:16]), Protocol: parvis.OIDC, App: client, Agent: number(at * people / len(sessions)),
						Session: sessions[at], Channel: parvis.Internal, SID: "un nom de vingt-deux s", Finder: names[i], Body: body,
						Began: tx.Now(), Expires: tx.Now().Add(10 * time.Hour),
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			written = to
		}
		return nil
	})
	if n > 0 {
		b.say("%d grants written in %.1f s", written, time.Since(began).Seconds())
	}
	return written, err
}
