package seal_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parvis"
	"parvis/internal/seal"
)

func ids(r seal.Ring) []string {
	var all []string
	for _, k := range r {
		all = append(all, k.ID)
	}
	return all
}

func TestARingRotates(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256"} {
		t.Run(alg, func(t *testing.T) {
			at := noon()
			var r seal.Ring
			first, due := r.Next(alg, at)
			if !due || first.ID != alg+"-000000" || first.KID == "" {
				t.Fatalf("the first key: %q, %v", first.ID, due)
			}
			r = append(r, first)
			if d := cmp.Diff([]string{first.ID}, ids(r.Published(alg, at))); d != "" {
				t.Errorf("the first key signs at once:\n%s", d)
			}
			if _, due := r.Next(alg, at.Add(90*24*time.Hour-time.Second)); due {
				t.Error("a key is due before its time")
			}
			at = at.Add(90 * 24 * time.Hour)
			second, due := r.Next(alg, at)
			if !due || second.ID != alg+"-000001" || second.KID == first.KID {
				t.Fatalf("the second key: %q, %v", second.ID, due)
			}
			r = append(seal.Ring{second}, r...) // whatever the order
			for _, c := range []struct {
				after time.Duration
				want  []string
			}{
				{0, []string{first.ID, second.ID}},
				{time.Hour - time.Second, []string{first.ID, second.ID}},
				{time.Hour, []string{second.ID, first.ID}},
				{25*time.Hour - time.Second, []string{second.ID, first.ID}},
				{25 * time.Hour, []string{second.ID}},
			} {
				if d := cmp.Diff(c.want, ids(r.Published(alg, at.Add(c.after)))); d != "" {
					t.Errorf("%v after the second was made:\n%s", c.after, d)
				}
			}
		})
	}
	if got := (seal.Ring{}).Published("ES256", noon()); len(got) != 0 {
		t.Errorf("keys of an empty ring: %v", got)
	}
}

func TestAKeyIsReadBack(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256"} {
		k, _ := seal.Ring{}.Next(alg, noon())
		again, err := seal.ReadSigningKey(k.ID, k.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		if again.ID != k.ID || again.KID != k.KID || again.Alg != alg || !again.Created.Equal(k.Created) {
			t.Errorf("%s came back otherwise", alg)
		}
		if pub, ok := k.Key.Public().(interface{ Equal(x any) bool }); ok && !pub.Equal(again.Key.Public()) {
			t.Errorf("%s is another key", alg)
		}
		for _, shown := range []string{fmt.Sprint(k), fmt.Sprintf("%#v", k), fmt.Sprintf("%+v", seal.Ring{k})} {
			if slices.Contains([]string{"[sealed]", "[[sealed]]"}, shown) {
				continue
			}
			t.Errorf("shown as %s", shown)
		}
	}
}

func TestWhatIsNoKeyIsRefused(t *testing.T) {
	write := func(alg string, key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{"alg": alg, "der": der})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	wrong, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, _ := seal.Ring{}.Next("ES256", noon())
	rsa2048, _ := seal.Ring{}.Next("RS256", noon())
	for name, kept := range map[string][]byte{
		"nothing": nil, "no JSON": []byte("key"), "no DER": []byte(`{"alg":"ES256","der":"AAAA"}`),
		"another curve": write("ES256", wrong), "a curve for RSA": write("RS256", p256.Key),
		"RSA for a curve": write("ES256", rsa2048.Key), "another algorithm": write("none", p256.Key),
	} {
		if k, err := seal.ReadSigningKey("x", kept); parvis.CodeOf(err) != parvis.CodeInvalid || k.Key != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
