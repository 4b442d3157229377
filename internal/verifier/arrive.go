package verifier

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis"
	"parvis/internal/store"
)

const (
	whyCancelled   parvis.ReasonCode = "verifier_cancelled"
	whyUnavailable parvis.ReasonCode = "verifier_unavailable"
	whyUnverified  parvis.ReasonCode = "verifier_unverified"
	whyTooLow      parvis.ReasonCode = "verifier_level_too_low"
	whyLocked      parvis.ReasonCode = "verifier_locked_notice"
	whyMismatch    parvis.ReasonCode = "verifier_account_mismatch"
	whyTaken       parvis.ReasonCode = "verifier_already_linked"
)

// fault is why an answer does not count: what is shown, and the true cause,
// which is for the event.
type fault struct {
	reason parvis.ReasonCode
	cause  string
	err    error // for the log; never an answer of the provider's at length
}

// cameBack is what a return says, each at most once.
type cameBack struct {
	state, code, issuer, failure string
	malformed                    bool
}

// read takes a return apart. Parameters that come twice are no answer (RFC 6749
// §3.1); what else a provider adds is ignored (§4.1.2).
func read(q url.Values) cameBack {
	var b cameBack
	for name, to := range map[string]*string{"state": &b.state, "code": &b.code, "iss": &b.issuer, "error": &b.failure} {
		values := q[name]
		if len(values) == 0 {
			continue
		}
		*to = values[0]
		if len(values) > 1 || len(values[0]) > 4096 || strings.ContainsFunc(values[0], func(r rune) bool { return r < 0x20 || r > 0x7e }) {
			b.malformed = true
		}
	}
	if len(q["state"]) != 1 || !wellFormed(b.state) {
		b.state = ""
	}
	// RFC 6749 §4.1.2: a code or an error, never both and never none.
	b.malformed = b.malformed || (b.code == "") == (b.failure == "")
	return b
}

// Return takes what a browser brought back. A return that belongs to nobody,
// to another browser or entrance, that was used or came too late is
// verifier_cancelled: nothing has changed. An answer that cannot be believed
// is verifier_unavailable, whatever is wrong with it. Of any number of returns
// at once with one state, one is looked at. Nothing is kept of a good answer
// but that there was one: see [Link.Tie] and [Link.Confirm].
func (l *Link) Return(ctx context.Context, in Arrival) (Answer, error) {
	said := read(in.Query)
	nobody := Answer{Reason: parvis.Reason{Code: whyCancelled}}
	if said.state == "" {
		return nobody, nil
	}
	f, err := l.Store.Flow(ctx, flowID(hashOf(said.state)))
	if parvis.CodeOf(err) == parvis.CodeNotFound || err == nil && f.Kind != kindVerifier {
		return nobody, nil
	}
	if err != nil {
		return Answer{}, err
	}
	if cause := late(f, in, l.Clock()); cause != "" {
		return nobody, l.noteOnce(ctx, f, in.Origin, cause)
	}
	out := Answer{}
	var private secrets
	if out.Departure, private, err = l.unpack(f, in.Origin); err != nil {
		return Answer{}, err
	}
	r := l.remote(out.Departure.Provider)
	wrong := &fault{reason: whyUnavailable, cause: "provider_gone"}
	var meta *metadata
	if r != nil {
		out.Provider = r.p
		meta, wrong = r.front(ctx, said)
	}
	first := false
	err = l.Store.Write(ctx, func(tx *store.Tx) error {
		var err error
		if first, err = tx.UseFlow(ctx, f.ID); err != nil || !first {
			return err
		}
		detail := map[string]string{"provider": out.Departure.Provider, "purpose": out.Departure.Purpose}
		if wrong != nil {
			refused(tx, f.Agent, in.Origin, detail, wrong)
			return nil
		}
		tx.Record(event("verifier.returned", f.Agent, in.Origin, detail))
		return nil
	})
	if err != nil {
		return Answer{}, err
	}
	if !first {
		return nobody, l.noteOnce(ctx, f, in.Origin, "used")
	}
	if wrong == nil {
		wrong = l.redeem(ctx, r, meta, said.code, private, f, &out)
		if wrong != nil {
			// Who went away meanwhile is in the trail all the same.
			err = l.Store.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
				refused(tx, f.Agent, in.Origin, map[string]string{"provider": out.Departure.Provider, "purpose": out.Departure.Purpose}, wrong)
				return nil
			})
		}
	}
	if wrong != nil {
		if wrong.err != nil {
			l.log().WarnContext(ctx, "a verifier's answer was refused", "provider", out.Departure.Provider, "cause", wrong.cause, "err", trimmed(wrong.err))
		}
		return Answer{Reason: parvis.Reason{Code: wrong.reason}, Departure: out.Departure, Provider: out.Provider}, err
	}
	out.Masked = l.masked(out.Issuer, out.Subject)
	return out, nil
}

// late says what keeps a return from its flow; empty when nothing does.
func late(f store.Flow, in Arrival, now time.Time) string {
	switch {
	case !bound(f, in.Cookie):
		return "other_browser"
	case f.Channel != in.Origin.Channel:
		return "other_entrance"
	case !f.Used.IsZero():
		return "used"
	case !f.Expires.After(now):
		return "expired"
	}
	return ""
}

// noteOnce records a return that came to nothing, once per flow and cause:
// nobody fills the trail by loading a page again.
func (l *Link) noteOnce(ctx context.Context, f store.Flow, from parvis.Origin, cause string) error {
	key := l.Keys.MAC("verifier refusal", []byte(f.ID), []byte(cause))
	until, err := l.Store.Spent(ctx, key, 1, tripGood)
	if err != nil || until.After(l.Clock()) {
		return err
	}
	return l.Store.Write(ctx, func(tx *store.Tx) error {
		until, err := tx.Spend(ctx, key, 1, tripGood)
		if err != nil || !until.IsZero() {
			return err
		}
		refused(tx, f.Agent, from, map[string]string{}, &fault{reason: whyCancelled, cause: cause})
		return nil
	})
}

// refused records what was refused and why.
func refused(tx *store.Tx, agent parvis.AgentNumber, from parvis.Origin, detail map[string]string, wrong *fault) {
	e := event("verifier.refused", agent, from, detail)
	e.Actor, e.Reasons, e.Detail["cause"] = "system", []parvis.ReasonCode{wrong.reason}, wrong.cause
	tx.Record(e)
}

// front judges what the browser itself says. The issuer comes first: an error
// of another provider's is not ours to believe either (RFC 9207 §2.4).
func (r *remote) front(ctx context.Context, said cameBack) (*metadata, *fault) {
	if said.malformed {
		return nil, &fault{reason: whyUnavailable, cause: "malformed"}
	}
	if said.issuer != "" && said.issuer != r.p.Issuer {
		return nil, &fault{reason: whyUnavailable, cause: "other_issuer"}
	}
	meta, err := r.discover(ctx, keepAtMost)
	switch {
	case err != nil:
		return nil, &fault{reason: whyUnavailable, cause: "silent", err: err}
	case meta.SaysIssuer && said.issuer == "":
		return nil, &fault{reason: whyUnavailable, cause: "no_issuer"}
	case said.failure != "":
		return nil, r.failure(said.failure)
	}
	return meta, nil
}

// failure reads an error code (RFC 6749 §4.1.2.1, OpenID Connect Core 1.0
// §3.1.2.6, Unmet Authentication Requirements 1.0). Its description is never
// shown: anybody could have written it.
func (r *remote) failure(code string) *fault {
	f := &fault{reason: whyUnavailable, cause: "error_other"}
	switch code {
	case "access_denied", "login_required", "interaction_required", "consent_required", "account_selection_required", "login_cancelled", "user_cancelled":
		f.reason = whyCancelled
	case "account_locked":
		f.reason = whyLocked
	case "unmet_authentication_requirements":
		f.reason = whyTooLow
	case "temporarily_unavailable", "server_error", "invalid_request", "invalid_scope", "unauthorized_client", "unsupported_response_type":
	default:
		if !slices.Contains(r.p.Locked, code) {
			return f
		}
		f.reason = whyLocked
	}
	f.cause = "error_" + code
	return f
}
