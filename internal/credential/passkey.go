package credential

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"parvis"
	"parvis/internal/store"
)

// Attestation says which passkeys are believed to be what they claim. The
// zero value believes none and accepts all: their makers are not asked, and none
// counts as hardware.
type Attestation struct {
	Require bool           // only passkeys whose maker one of Roots vouches for
	AAGUIDs []string       // with Require: only these models; all when empty
	Roots   *x509.CertPool // of the makers; nil: nobody vouches
}

// PasskeyAsk is for whom and for where a passkey is made or asked.
type PasskeyAsk struct {
	Agent   *parvis.Agent // nil when nobody is known: any passkey of the site may answer
	Site    string        // WebAuthn RP ID: a host name, or one above it
	Origins []string      // where the browser may be: scheme, host and port
}

// PasskeyAnswer is what a browser answered to an ask for the same agent, or
// nobody, and the same site.
type PasskeyAnswer struct {
	Agent    *parvis.Agent
	Ticket   string
	Response []byte // JSON, as the browser made it
	Name     string // of a new passkey, given by the agent
	Site     string
	Origins  []string
	Origin   parvis.Origin // for the record
}

// Asserted is a passkey that signed. It proves nothing before
// [Vault.AcceptPasskey] accepted it.
type Asserted struct {
	Agent parvis.AgentNumber
	Held  string
	Proof parvis.Proof

	challenge  string
	credential [32]byte
	counter    uint32
	origin     parvis.Origin
}

const (
	passkeyLasts   = 30 * time.Minute // a page that stays open; the challenge is good once anyway
	passkeyTimeout = 10 * time.Minute // of the browser's dialogue; WebAuthn §15.1 recommends up to this
	longestAnswer  = 64 << 10         // bytes
)

// challenge is what a ticket of a passkey holds: nothing is kept while a page is
// open, and strangers can open as many as they like.
type challenge struct {
	Challenge string                `json:"challenge"`
	Type      protocol.CeremonyType `json:"type"`
	Agent     parvis.AgentNumber    `json:"agent,omitempty"`
	Site      string                `json:"site"`
}

// errPasskey is every passkey that is not right. Nobody is told why: whether a
// passkey is known, or whose it is, is nobody's business (security.md A-4).
func errPasskey() error {
	return &parvis.Error{Code: parvis.CodeRefused, Op: "credential.Passkey", Err: errors.New("the passkey is not right")}
}

// OfferPasskey makes what a browser needs to make a passkey for an agent.
// Nothing is kept. The passkey can be found without the agent being named, and
// verifies its holder.
func (v *Vault) OfferPasskey(ctx context.Context, a PasskeyAsk) (options json.RawMessage, ticket string, err error) {
	const op = "credential.OfferPasskey"
	if a.Agent == nil || a.Agent.Number == "" {
		return nil, "", &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("for whom?")}
	}
	party, err := v.party(a.Site, a.Origins)
	if err != nil {
		return nil, "", err
	}
	held, err := v.passkeys(ctx, a.Agent.Number, a.Site)
	if err != nil {
		return nil, "", err
	}
	user := v.passkeyUser(a.Agent.Number, held...)
	made, session, err := party.BeginRegistration(user,
		webauthn.WithCredentialParameters(webauthn.CredentialParametersRecommendedL3()),
		webauthn.WithExclusions(webauthn.Credentials(held).CredentialDescriptors()))
	if err != nil {
		return nil, "", &parvis.Error{Code: parvis.CodeInternal, Op: op, Err: err}
	}
	return v.challenge(made, challenge{session.Challenge, protocol.CreateCeremony, a.Agent.Number, a.Site})
}

// AskPasskey makes what a browser needs to show a passkey of an agent, or, of
// a nil one, any passkey that it has for the site: the list of those allowed is
// then empty, whoever exists. Nothing is kept.
func (v *Vault) AskPasskey(ctx context.Context, a PasskeyAsk) (options json.RawMessage, ticket string, err error) {
	party, err := v.party(a.Site, a.Origins)
	if err != nil {
		return nil, "", err
	}
	var number parvis.AgentNumber
	var list []webauthn.LoginOption
	if a.Agent != nil {
		number = a.Agent.Number
		held, err := v.passkeys(ctx, number, a.Site)
		if err != nil {
			return nil, "", err
		}
		list = append(list, webauthn.WithAllowedCredentials(webauthn.Credentials(held).CredentialDescriptors()))
	}
	asked, session, err := party.BeginDiscoverableLogin(list...)
	if err != nil {
		return nil, "", &parvis.Error{Code: parvis.CodeInternal, Op: "credential.AskPasskey", Err: err}
	}
	return v.challenge(asked, challenge{session.Challenge, protocol.AssertCeremony, number, a.Site})
}

func (v *Vault) challenge(asked any, c challenge) (options json.RawMessage, ticket string, err error) {
	if options, err = json.Marshal(asked); err != nil {
		return nil, "", &parvis.Error{Code: parvis.CodeInternal, Op: "credential.challenge", Err: err}
	}
	ticket, err = v.boxes().challenges.Issue(c, v.Clock(), passkeyLasts)
	return options, ticket, err
}

// redeem opens the ticket of an answer.
func (v *Vault) redeem(a PasskeyAnswer, at time.Time, kind protocol.CeremonyType) (challenge, bool) {
	var c challenge
	err := v.boxes().challenges.Redeem(a.Ticket, at, &c)
	var number parvis.AgentNumber
	if a.Agent != nil {
		number = a.Agent.Number
	}
	return c, err == nil && c.Type == kind && c.Agent == number && c.Site == a.Site && c.Challenge != "" &&
		len(a.Response) <= longestAnswer
}

// spend uses a challenge: of any number of answers to it one is accepted.
func (v *Vault) spend(ctx context.Context, tx *store.Tx, challenge string) (bool, error) {
	later, err := tx.Spend(ctx, v.Keys.MAC("challenge", []byte(challenge)), 1, passkeyLasts)
	return later.IsZero(), err
}

// EnrolPasskey keeps the passkey that a browser made for an agent.
// [parvis.CodeRefused] when anything about it is not right, [parvis.CodeConflict]
// when the agent holds it already, or ten others.
func (v *Vault) EnrolPasskey(ctx context.Context, tx *store.Tx, a PasskeyAnswer) (parvis.Held, parvis.Proof, error) {
	const op = "credential.EnrolPasskey"
	if a.Agent == nil || a.Agent.Number == "" {
		return parvis.Held{}, parvis.Proof{}, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("for whom?")}
	}
	refused := func(err error) (parvis.Held, parvis.Proof, error) { return parvis.Held{}, parvis.Proof{}, err }
	party, err := v.party(a.Site, a.Origins)
	if err != nil {
		return refused(err)
	}
	number := a.Agent.Number
	asked, ok := v.redeem(a, tx.Now(), protocol.CreateCeremony)
	if !ok {
		return refused(errPasskey())
	}
	made, vouched, err := v.created(party, asked, v.passkeyUser(number), a.Response, tx.Now())
	if err != nil {
		return refused(errPasskey())
	}
	hash := sha256.Sum256(made.ID)
	switch known, err := tx.HeldByCredential(ctx, hash); {
	case err == nil && known.Agent == number:
		return refused(&parvis.Error{Code: parvis.CodeConflict, Op: op, Err: errors.New("the passkey is held already")})
	case err == nil:
		return refused(errPasskey())
	case parvis.CodeOf(err) != parvis.CodeNotFound:
		return refused(err)
	}
	if fresh, err := v.spend(ctx, tx, asked.Challenge); err != nil {
		return refused(err)
	} else if !fresh {
		return refused(errPasskey())
	}
	made.Attestation = webauthn.CredentialAttestation{} // it was looked at; it would name a device
	public, err := json.Marshal(made)
	if err != nil {
		return refused(&parvis.Error{Code: parvis.CodeInternal, Op: op, Err: err})
	}
	synced := made.Flags.BackupEligible
	held, err := v.keep(ctx, tx, store.HeldRow{
		Held: parvis.Held{
			Agent: number, Kind: parvis.Passkey, Name: a.Name, LastUsed: tx.Now(), Site: a.Site,
			// Whoever writes a program can say that a key never leaves it: only
			// the maker's word counts (domain.md 3.1).
			Hardware: vouched && !synced, Synced: synced,
		},
		Credential: hash, Counter: made.Authenticator.SignCount,
	}, nil, public)
	if err != nil {
		return refused(err)
	}
	return held, parvis.Proof{Kind: parvis.Passkey, At: tx.Now(), Hardware: held.Hardware}, nil
}

// created verifies a new passkey (WebAuthn §7.1), and tells whether its maker
// vouches for it.
func (v *Vault) created(
	party *webauthn.WebAuthn, asked challenge, user passkeyUser, response []byte, at time.Time,
) (made *webauthn.Credential, vouched bool, err error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return nil, false, err
	}
	if !slices.Contains(party.Config.RPOrigins, parsed.Response.CollectedClientData.Origin) {
		return nil, false, errPasskey() // the library folds case and drops paths
	}
	made, err = party.CreateCredential(user, webauthn.SessionData{
		Challenge: asked.Challenge, RelyingPartyID: asked.Site, UserID: user.handle,
		UserVerification: protocol.VerificationRequired, CredParams: webauthn.CredentialParametersRecommendedL3(),
	}, parsed)
	if err != nil {
		return nil, false, err
	}
	vouched = v.vouched(parsed.Response.AttestationObject, at)
	if !v.Attestation.Require {
		return made, vouched, nil
	}
	model := hex.EncodeToString(made.Authenticator.AAGUID)
	listed := func(s string) bool { return strings.EqualFold(strings.ReplaceAll(s, "-", ""), model) }
	if !vouched || len(v.Attestation.AAGUIDs) > 0 && !slices.ContainsFunc(v.Attestation.AAGUIDs, listed) {
		return nil, false, errPasskey()
	}
	return made, vouched, nil
}

// vouched follows the certificates of an attestation, whose signature the
// library has verified, to a maker (WebAuthn §7.1 steps 23 and 24). Attestations
// without certificates are anybody's word.
func (v *Vault) vouched(a protocol.AttestationObject, at time.Time) bool {
	chain, _ := a.AttStatement["x5c"].([]any)
	if v.Attestation.Roots == nil || len(chain) == 0 {
		return false
	}
	var leaf *x509.Certificate
	between := x509.NewCertPool()
	for i, raw := range chain {
		der, _ := raw.([]byte)
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return false
		}
		if i > 0 {
			between.AddCert(cert)
			continue
		}
		leaf = cert
	}
	// A TPM is named by a critical alternative name that no host has (TPM 2.0
	// EK profile §3.2.9); the library has read it.
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(leaf.UnhandledCriticalExtensions, func(id asn1.ObjectIdentifier) bool {
		return id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17})
	})
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: v.Attestation.Roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}

// CheckPasskey verifies the signature of a passkey (WebAuthn §7.2). Call it
// outside any transaction, and then [Vault.AcceptPasskey] in the one that acts.
// Whatever is not right gives the same [parvis.CodeRefused]; other errors are
// for what could not be examined.
func (v *Vault) CheckPasskey(ctx context.Context, a PasskeyAnswer) (Asserted, error) {
	party, err := v.party(a.Site, a.Origins)
	if err != nil {
		return Asserted{}, err
	}
	asked, ok := v.redeem(a, v.Clock(), protocol.AssertCeremony)
	if !ok {
		return Asserted{}, errPasskey()
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(a.Response)
	if err != nil {
		return Asserted{}, errPasskey()
	}
	hash := sha256.Sum256(parsed.RawID)
	row, err := v.Store.HeldByCredential(ctx, hash)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound:
		return Asserted{}, errPasskey()
	case err != nil:
		return Asserted{}, err
	case row.Kind != parvis.Passkey || row.Site != a.Site || a.Agent != nil && a.Agent.Number != row.Agent:
		return Asserted{}, errPasskey()
	}
	credential, err := v.passkeyOf(row)
	if err != nil {
		return Asserted{}, err
	}
	// Who did not say who they are is who the passkey says (§7.2 step 6).
	if a.Agent == nil && len(parsed.Response.UserHandle) == 0 {
		return Asserted{}, errPasskey()
	}
	if asserts(party, asked, v.passkeyUser(row.Agent, credential), parsed) != nil {
		return Asserted{}, errPasskey()
	}
	return Asserted{
		Agent: row.Agent, Held: row.ID, Proof: parvis.Proof{Kind: parvis.Passkey, At: v.Clock(), Hardware: row.Hardware},
		challenge: asked.Challenge, credential: hash, counter: parsed.Response.AuthenticatorData.Counter, origin: a.Origin,
	}, nil
}

// asserts verifies everything but the counter, which moves with the
// transaction.
func asserts(party *webauthn.WebAuthn, asked challenge, user passkeyUser, parsed *protocol.ParsedCredentialAssertionData) error {
	if !slices.Contains(party.Config.RPOrigins, parsed.Response.CollectedClientData.Origin) {
		return errPasskey()
	}
	_, err := party.ValidateLogin(user, webauthn.SessionData{
		Challenge: asked.Challenge, RelyingPartyID: asked.Site, UserID: user.handle, UserVerification: protocol.VerificationRequired,
	}, parsed)
	return err
}

// AcceptPasskey accepts a passkey that signed, in the transaction that acts on
// it: the challenge is used once, and the counter moves forward. It answers false,
// for the caller to commit, when the challenge was used, the passkey is gone, or its
// counter went back: then somebody has a copy, which is recorded as
// passkey.cloned (WebAuthn §6.1.1). A right passkey ends the row of failures of
// every other second proof.
func (v *Vault) AcceptPasskey(ctx context.Context, tx *store.Tx, a Asserted) (bool, error) {
	if a.Held == "" || a.challenge == "" {
		return false, &parvis.Error{Code: parvis.CodeInvalid, Op: "credential.AcceptPasskey", Err: errors.New("nothing was checked")}
	}
	fail := func(event string) (bool, error) {
		v.record(tx, event, a.Agent, "system", a.origin, parvis.Passkey, a.Held)
		return false, nil
	}
	if fresh, err := v.spend(ctx, tx, a.challenge); err != nil {
		return false, err
	} else if !fresh {
		return fail("second.failed")
	}
	row, err := tx.HeldByCredential(ctx, a.credential)
	switch {
	case parvis.CodeOf(err) == parvis.CodeNotFound || err == nil && (row.ID != a.Held || row.Agent != a.Agent):
		return fail("second.failed")
	case err != nil:
		return false, err
	}
	if moved, err := tx.UseHeld(ctx, row.ID, 0, a.counter); err != nil {
		return false, err
	} else if !moved {
		return fail("passkey.cloned")
	}
	if err := v.pardon(ctx, tx, a.Agent, parvis.Passkey); err != nil {
		return false, err
	}
	v.record(tx, "second.ok", a.Agent, string(a.Agent), a.origin, parvis.Passkey, a.Held)
	return true, nil
}

// party is this side of a ceremony at one site.
func (v *Vault) party(site string, origins []string) (*webauthn.WebAuthn, error) {
	yes, conveyance := true, protocol.PreferNoAttestation
	if v.Attestation.Roots != nil {
		conveyance = protocol.PreferDirectAttestation
	}
	limit := webauthn.TimeoutConfig{Timeout: passkeyTimeout, TimeoutUVD: passkeyTimeout}
	party, err := webauthn.New(&webauthn.Config{
		RPID: site, RPDisplayName: site, RPOrigins: origins, AttestationPreference: conveyance,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: &yes, ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{Login: limit, Registration: limit},
		// No output of an extension is read, and some browsers add their own.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil || site == "" {
		return nil, &parvis.Error{Code: parvis.CodeInvalid, Op: "credential.party", Err: errors.Join(errors.New("the site of the passkeys"), err)}
	}
	return party, nil
}

// passkeys reads those of an agent at a site.
func (v *Vault) passkeys(ctx context.Context, number parvis.AgentNumber, site string) ([]webauthn.Credential, error) {
	rows, err := ofKind(ctx, v.Store, number, parvis.Passkey)
	if err != nil {
		return nil, err
	}
	var all []webauthn.Credential
	for _, row := range rows {
		if row.Site != site {
			continue
		}
		c, err := v.passkeyOf(row)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (v *Vault) passkeyOf(row store.HeldRow) (webauthn.Credential, error) {
	var c webauthn.Credential
	plain, err := v.open(row, row.Public)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(plain, &c); err != nil {
		return c, &parvis.Error{Code: parvis.CodeInternal, Op: "credential.passkeyOf", Err: err}
	}
	return c, nil
}

// passkeyUser is an agent as a passkey knows them. The handle is opaque, and
// the same for ever (WebAuthn §14.6.1); the number is the only name that goes into
// devices and the clouds behind them.
type passkeyUser struct {
	number parvis.AgentNumber
	handle []byte
	held   []webauthn.Credential
}

func (v *Vault) passkeyUser(number parvis.AgentNumber, held ...webauthn.Credential) passkeyUser {
	handle := v.Keys.MAC("user of a passkey", []byte(number))
	return passkeyUser{number: number, handle: handle[:], held: held}
}

func (u passkeyUser) WebAuthnID() []byte                         { return u.handle }
func (u passkeyUser) WebAuthnName() string                       { return string(u.number) }
func (u passkeyUser) WebAuthnDisplayName() string                { return string(u.number) }
func (u passkeyUser) WebAuthnCredentials() []webauthn.Credential { return u.held }
