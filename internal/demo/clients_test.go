package demo

import (
	"crypto/sha256"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parvis"
)

// TestClients holds the OpenID clients against contract.md.
func TestClients(t *testing.T) {
	got := map[parvis.AppID]parvis.OIDCClient{}
	for _, app := range Apps() {
		if app.OIDC != nil {
			got[app.ID] = *app.OIDC
			if len(app.Channels) != len(parvis.Channels()) || app.Second || app.Entitled || app.Start != "" || app.Upstream != "" || app.Name.FR == "" || app.Name.EN == "" {
				t.Errorf("%+v", app)
			}
		}
	}
	hash := func(s string) []parvis.ClientSecret { return []parvis.ClientSecret{{Hash: sha256.Sum256([]byte(s))}} }
	want := map[parvis.AppID]parvis.OIDCClient{
		"demo-confidential": {
			Redirects: []string{"http://127.0.0.1:7999/cb"}, LogoutRedirects: []string{"http://127.0.0.1:7999/out"},
			Auth: "client_secret_basic", Secrets: hash("demo-secret"), BackChannel: "http://127.0.0.1:7998/bcl",
		},
		"demo-second": {Redirects: []string{"http://127.0.0.1:7999/cb2"}, Auth: "client_secret_basic", Secrets: hash("demo-second-secret")},
		"demo-public": {Redirects: []string{"http://127.0.0.1:7999/cb"}, Auth: "none"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("clients (-want +got):\n%s", d)
	}
}

func TestWebmail(t *testing.T) {
	if n := len(Webmail{}.In(Apps())); n != len(Apps()) {
		t.Errorf("without a webmail there are %d applications", n)
	}
	all := Webmail{Upstream: "http://127.0.0.1:9", Origins: []string{"http://messagerie.agents.localhost:8080", "http://messagerie.nomade.localhost:8081"}}.In(Apps())
	for _, app := range all {
		switch app.ID {
		case "messagerie":
			want := []string{"http://messagerie.agents.localhost:8080/index.php/login/oauth", "http://messagerie.nomade.localhost:8081/index.php/login/oauth"}
			if d := cmp.Diff(want, app.OIDC.Redirects); d != "" || app.Upstream != "http://127.0.0.1:9" || !app.OIDC.NoPKCE || app.OIDC.Introspects {
				t.Errorf("%+v %s", app, d)
			}
		case "messagerie-imap":
			if !app.OIDC.Introspects || app.OIDC.Redirects != nil || app.Upstream != "" || app.Start != "" {
				t.Errorf("%+v", app)
			}
		}
	}
	for _, app := range all {
		if app.OIDC == nil {
			app.Upstream = "http://127.0.0.1:9"
		}
		if faults := app.Faults(); len(faults) > 0 {
			t.Errorf("%s: %+v", app.ID, faults)
		}
	}
	if len(all) != len(Apps())+1 || Apps()[0].OIDC != nil {
		t.Errorf("%d applications, %+v", len(all), Apps()[0])
	}
}
