package verifier

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parvis"
	"parvis/internal/store"
)

// Whatever a browser brings, with or without a good state, vouches for nobody
// without the code that the provider gave.
func FuzzReturn(f *testing.F) {
	w := alone(f)
	o := newOutside(f, w.clock)
	w.knows(o.of(nil))
	for _, seed := range []string{
		"", "code=x", "error=access_denied", "code=x&error=y", "iss=x&code=y", "code=a&code=b", "state=x&code=y", "error=%00", "code=%ff", "iss=", "error=account_locked&iss",
		"code=x&iss=ISSUER", "error=access_denied&iss=ISSUER", "error=server_error&iss=ISSUER&state=x",
	} {
		f.Add(seed, true, true)
		f.Add(seed, false, true)
		f.Add(seed, true, false)
	}
	f.Fuzz(func(t *testing.T, query string, state, cookie bool) {
		q, err := url.ParseQuery(strings.ReplaceAll(query, "ISSUER", url.QueryEscape(o.issuer)))
		if err != nil {
			return
		}
		w := w.with(t)
		address, key := w.leave(Departure{})
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if state {
			q.Add("state", u.Query().Get("state"))
		}
		if !cookie {
			key = ""
		}
		a := w.back(q, key, street())
		if !slices.Contains([]parvis.ReasonCode{whyCancelled, whyUnavailable, whyLocked, whyTooLow}, a.Reason.Code) || a.Subject != "" || a.Issuer != "" {
			t.Errorf("%+v", a)
		}
		if ours := state && cookie && len(q["state"]) == 1; (a.Departure.Agent == alex) != ours {
			t.Errorf("it is told that %+v left", a.Departure)
		}
		if w.link.Down("compte") {
			t.Error("down")
		}
	})
}

// with gives the same town and the same link to a test within the test.
func (w *town) with(t testing.TB) *town {
	sub := w.on(t)
	sub.link = w.link
	return sub
}

// Whatever a provider signs, what is believed of it is written in it, once and
// to the letter.
func FuzzIDToken(f *testing.F) {
	w := alone(f)
	o := newOutside(f, w.clock)
	w.knows(o.of(func(p *Provider) { p.Levels, p.MaxAge = []string{"eidas1", "eidas2"}, 600e9 }))
	w.leave(Departure{})
	r := w.link.remote("compte")
	meta := r.meta
	now := w.clock.Now()
	trip := secrets{Nonce: "the-nonce"}
	good := map[string]any{
		"iss": "ISSUER", "aud": clientID, "sub": somebody, "nonce": trip.Nonce, "acr": "eidas1",
		"iat": now.Unix(), "exp": now.Unix() + 60, "auth_time": now.Unix(),
	}
	seed, err := json.Marshal(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(seed))
	f.Add(strings.Replace(string(seed), `"sub"`, `"Sub":"x","sub"`, 1))
	f.Add(strings.Replace(string(seed), `"sub"`, `"sub":"x","sub"`, 1))
	f.Add(strings.Replace(string(seed), clientID, `x","azp":"y`, 1))
	f.Add(`{}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, payload string) {
		payload = strings.ReplaceAll(payload, "ISSUER", o.issuer)
		token := signed("ES256", elliptical(), "ec", []byte(payload))
		id, said, wrong := w.link.identify(t.Context(), r, meta, token, store.Flow{Created: now}, trip)
		if wrong != nil {
			if id != nil || wrong.reason != whyUnavailable || wrong.cause == "" {
				t.Errorf("%+v", wrong)
			}
			return
		}
		var c map[string]any
		if err := json.Unmarshal([]byte(payload), &c); err != nil {
			t.Fatal(err)
		}
		aud, _ := c["aud"].(string)
		list, _ := c["aud"].([]any)
		if c["exp"] == nil || c["iat"] == nil || c["iss"] != o.issuer || c["sub"] != said.Subject || c["nonce"] != trip.Nonce || aud != clientID && !slices.Contains(list, any(clientID)) {
			t.Errorf("%s is believed", payload)
		}
		if azp, there := c["azp"]; there && azp != nil && azp != "" && azp != clientID || len(list) > 1 && azp != clientID {
			t.Errorf("%s is believed", payload)
		}
	})
}

// A round trip: the way out, the way back with its three questions to the
// provider, the tie looked at.
func BenchmarkRoundTrip(b *testing.B) {
	w := alone(b)
	o := newOutside(b, w.clock)
	w.knows(o.of(nil))
	a := w.trip(o, Departure{Purpose: purposeLink})
	if why, err := w.do(w.ties, a, alex); why != "" || err != nil {
		b.Fatal(why, err)
	}
	b.ReportAllocs()
	for b.Loop() {
		a := w.trip(o, Departure{})
		if why, err := w.do(w.confirms, a, alex); why != "" || err != nil {
			b.Fatal(why, err)
		}
	}
}
