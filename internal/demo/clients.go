package demo

import (
	"crypto/sha256"

	"parvis"
)

// clients are the OpenID clients of contract.md, for trying. No tile leads to
// them, and nothing answers behind the gateway.
func clients() []parvis.App {
	it := parvis.Words{FR: "la direction informatique", EN: "the IT department"}
	client := func(id parvis.AppID, name parvis.Words, c parvis.OIDCClient) parvis.App {
		return parvis.App{
			ID: id, Name: name, Owner: it, Channels: parvis.Channels(), OIDC: &c,
			Purpose:    parvis.Words{FR: "Essayer OpenID Connect", EN: "Try OpenID Connect"},
			Group:      parvis.Words{FR: "Essais", EN: "Trials"},
			Attributes: parvis.ClaimNames(),
		}
	}
	return []parvis.App{
		client("demo-confidential", parvis.Words{FR: "Client d'essai", EN: "Trial client"}, parvis.OIDCClient{
			Redirects: []string{"http://127.0.0.1:7999/cb"}, LogoutRedirects: []string{"http://127.0.0.1:7999/out"},
			Auth: parvis.ClientSecretBasic, Secrets: secret("demo-secret"), BackChannel: "http://127.0.0.1:7998/bcl",
		}),
		client("demo-second", parvis.Words{FR: "Deuxième client d'essai", EN: "Second trial client"}, parvis.OIDCClient{
			Redirects: []string{"http://127.0.0.1:7999/cb2"}, Auth: parvis.ClientSecretBasic, Secrets: secret("demo-second-secret"),
		}),
		client("demo-public", parvis.Words{FR: "Client d'essai sans secret", EN: "Trial client without a secret"}, parvis.OIDCClient{
			Redirects: []string{"http://127.0.0.1:7999/cb"}, Auth: parvis.PublicClient,
		}),
	}
}

// secret is a client's secret as it is kept. Those of the demonstration are
// known to everybody.
func secret(s string) []parvis.ClientSecret {
	return []parvis.ClientSecret{{Hash: sha256.Sum256([]byte(s))}}
}

// Webmail is a real mailbox (deploy/webmail) in place of the small inbox.
type Webmail struct {
	Upstream string   // where it answers
	Origins  []string // where agents reach it: the addresses of "messagerie" at each entrance
}

// In declares it among applications: "messagerie" signs agents in by OpenID
// Connect, and "messagerie-imap" is the mail server that asks whose a token is.
// Their secrets, demo-messagerie-secret and demo-messagerie-imap-secret, are for
// this machine alone. Without an Upstream nothing changes.
func (m Webmail) In(apps []parvis.App) []parvis.App {
	if m.Upstream == "" {
		return apps
	}
	out := make([]parvis.App, 0, len(apps)+1)
	for _, app := range apps {
		if app.ID == "messagerie" {
			app.Upstream, app.Attributes = m.Upstream, []string{"name", "email"}
			app.PassHeaders = []string{"X-Roundcube-Request"}                                                                     // its own defence against forged requests
			app.OIDC = &parvis.OIDCClient{Auth: parvis.ClientSecretPost, Secrets: secret("demo-messagerie-secret"), NoPKCE: true} // Roundcube 1.6 sends no PKCE
			for _, origin := range m.Origins {
				app.OIDC.Redirects = append(app.OIDC.Redirects, origin+"/index.php/login/oauth")
			}
		}
		out = append(out, app)
	}
	return append(out, parvis.App{
		ID: "messagerie-imap", Name: parvis.Words{FR: "Serveur de messagerie", EN: "Mail server"}, Owner: parvis.Words{FR: "la direction informatique", EN: "the IT department"},
		Purpose: parvis.Words{FR: "Reconnaître les jetons de la messagerie", EN: "Recognise the tokens of the mail"}, Group: parvis.Words{FR: "Services", EN: "Services"},
		Channels: parvis.Channels(), OIDC: &parvis.OIDCClient{Auth: parvis.ClientSecretBasic, Secrets: secret("demo-messagerie-imap-secret"), Introspects: true},
	})
}
