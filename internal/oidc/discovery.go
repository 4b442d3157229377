package oidc

import (
	"encoding/json"
	"net/http"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"parvis"
	"parvis/internal/text"
)

// discovery says what the library leaves out, and leaves out what is not offered.
func (p *Provider) discovery(w http.ResponseWriter, r *http.Request, is *issuer) error {
	asked := r.Clone(r.Context())
	asked.Method = http.MethodGet
	c := &captured{header: http.Header{}, status: http.StatusOK}
	is.op.ServeHTTP(c, asked)
	var document map[string]any
	if err := json.Unmarshal(c.body.Bytes(), &document); err != nil || c.status != http.StatusOK {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.discovery", Err: err}
	}
	delete(document, "registration_endpoint")
	for name, value := range map[string]any{
		// Discovery 1.0 §3: left out, the second would mean true.
		"request_parameter_supported": false, "request_uri_parameter_supported": false, "claims_parameter_supported": true,
		"ui_locales_supported":     []string{string(text.French), string(text.English)},
		"prompt_values_supported":  []string{"none", "login", "consent", "select_account"},
		"response_modes_supported": []string{"query", "fragment", "form_post"},
		"end_session_endpoint":     is.address + pathLogout,
		// Back-Channel Logout 1.0 §2.1, Front-Channel Logout 1.0 §3.
		"backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
		"frontchannel_logout_supported": true, "frontchannel_logout_session_supported": true,
		"require_pushed_authorization_requests": false, // some clients must: RFC 9126 §6
	} {
		document[name] = value
	}
	return publish(w, document)
}

// keys publishes the keys: that of the assertions that the gateway gives to
// applications, then those of tokens.
func (p *Provider) keys(w http.ResponseWriter, r *http.Request, _ *issuer) error {
	set, err := p.jwks(r.Context())
	if err != nil {
		return err
	}
	key, kid := p.Keys.Assertion()
	all := goidc.JSONWebKeySet{Keys: []goidc.JSONWebKey{{Key: &key.PublicKey, KeyID: kid, Algorithm: string(goidc.ES256), Use: "sig"}}}
	all.Keys = append(all.Keys, set.Public().Keys...)
	return publish(w, all)
}

// publish writes what anybody may read; a key is announced an hour before it
// signs.
func publish(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return &parvis.Error{Code: parvis.CodeInternal, Op: "oidc.publish", Err: err}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(body)
	return nil
}
