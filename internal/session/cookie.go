package session

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"parvis"
	"parvis/internal/seal"
)

// The cookies. Over TLS their names begin with "__Host-" (RFC 6265bis §4.1.3.2):
// no neighbouring host can then plant one. On plain HTTP, which is for a
// loopback demonstration only, that name is not available.
const (
	portalCookie = "parvis"
	visitCookie  = "parvis-app"   // of one application host
	askCookie    = "parvis-enter" // the browser that asked to enter, before it has entered
	prefix       = "__Host-"
	tokenLength  = 43 // 256 bits in base64url
)

// Token is the secret of a session or of a visit, on its way to a browser. It
// prints sealed.
type Token struct {
	cookie string
	secret seal.Secret
	secure bool
}

// String hides the secret.
func (Token) String() string { return "[sealed]" }

// GoString hides the secret.
func (Token) GoString() string { return "[sealed]" }

func cookieName(base string, secure bool) string {
	if secure {
		return prefix + base
	}
	return base
}

// token makes a secret and the identifier that names it.
func (k *Keeper) token(base string, c parvis.Channel) (Token, parvis.SessionID) {
	secret, hash := seal.Token()
	secure := k.Addresses.Secure(c)
	return Token{cookie: cookieName(base, secure), secret: seal.Secret(secret), secure: secure}, parvis.SessionID(hash[:16])
}

// Give sets the cookie of a session or of a visit, each under its own name.
func (k *Keeper) Give(w http.ResponseWriter, t Token) {
	http.SetCookie(w, &http.Cookie{
		Name: t.cookie, Value: t.secret.Reveal(), Path: "/", Secure: t.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// Drop removes the portal's cookie, under both its names.
func (k *Keeper) Drop(w http.ResponseWriter) {
	for _, secure := range []bool{true, false} {
		http.SetCookie(w, &http.Cookie{
			Name: cookieName(portalCookie, secure), Path: "/", MaxAge: -1, Secure: secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
	}
}

// Of finds the session of a request to a portal, and notes that it was used.
// Errors: [parvis.CodeNotFound] when there is none that may be used,
// [parvis.CodeUnavailable] when that cannot be known now.
func (k *Keeper) Of(r *http.Request) (parvis.Session, error) {
	k.ready()
	id, _, ok := k.cookie(r, portalCookie)
	if !ok {
		return parvis.Session{}, errNone
	}
	now := k.Clock().UnixMicro()
	f, _, err := k.find(r.Context(), id, anywhere, now)
	if err != nil {
		return parvis.Session{}, err
	}
	k.table.touch(id, anywhere, now)
	return k.unpack(id, &f, now, now), nil
}

// unpack gives a session as it stands now. What lies after now has happened
// all the same: the clock went back, or that of another machine is ahead. It
// counts as of now, or an agent who has just proved themselves would be told
// that they have not.
func (k *Keeper) unpack(id parvis.SessionID, f *facts, seen, now int64) parvis.Session {
	s := f.session(id, min(seen, now))
	at := time.UnixMicro(now).UTC()
	if s.Began.After(at) {
		s.Began = at
	}
	for i := range s.Proofs {
		if s.Proofs[i].At.After(at) {
			s.Proofs[i].At = at
		}
	}
	s.Idle = k.idle(s.Channel, s.LastSeen, s.Ends)
	return s
}

// Gone tells why the portal cookie of a request opens nothing any more:
// [parvis.WhySessionExpired], [parvis.WhySessionClosedRemote], or nothing when
// that is not known. It helps a sign-in page and decides nothing.
func (k *Keeper) Gone(r *http.Request) parvis.ReasonCode {
	k.ready()
	id, _, ok := k.cookie(r, portalCookie)
	if !ok {
		return ""
	}
	switch f, _, _ := k.find(r.Context(), id, anywhere, k.Clock().UnixMicro()); f.gone {
	case rested:
		return parvis.WhySessionExpired
	case ended:
		return parvis.WhySessionClosedRemote
	}
	return ""
}

// Visit is what an application host holds of a session.
type Visit struct {
	ID      parvis.SessionID // of the visit's own secret
	Session parvis.SessionID
	Channel parvis.Channel // the entrance of the host where it began, and the only one where it is worth anything
	Version uint32         // grows when something was recorded that may change a decision
	Until   time.Time      // when the session ends unless used

	place uint32 // of the session, in memory
}

// At finds the visit of a request to an application's host, and notes that the
// session was used. It allocates nothing. Errors: [parvis.CodeNotFound] when
// there is none that may be used on this host, [parvis.CodeUnavailable] when
// that cannot be known now.
func (k *Keeper) At(r *http.Request, app parvis.AppID) (Visit, error) {
	k.ready()
	id, c, ok := k.cookie(r, visitCookie)
	if !ok {
		return Visit{}, errNone
	}
	now := k.Clock().UnixMicro()
	v, err := k.visit(r.Context(), id, c, app, now, true)
	if err == nil {
		k.table.touch(v.Session, v.place, now)
	}
	return v, err
}

// Still tells whether a visit found earlier may go on, and how it stands now.
// Unlike [Keeper.At] it is no use of the session: a stream that nobody attends
// does not keep it alive. Its errors are those of At.
func (k *Keeper) Still(ctx context.Context, v Visit, app parvis.AppID) (Visit, error) {
	return k.visit(ctx, v.ID, v.Channel, app, k.Clock().UnixMicro(), false)
}

func (k *Keeper) visit(ctx context.Context, id parvis.SessionID, c parvis.Channel, app parvis.AppID, now int64, used bool) (Visit, error) {
	if v, ok := k.table.visit(id); ok {
		f, seen, err := k.find(ctx, v.session, v.place, now)
		if err == nil {
			return k.visitOf(id, &v, &f, uses(seen, now, used), c, app)
		}
		if f.gone == ended || f.gone == rested || parvis.CodeOf(err) != parvis.CodeNotFound {
			return Visit{}, err
		}
	}
	// Unknown here, or of a session that has another name since.
	if err := k.read(ctx, func() error {
		row, err := k.Store.Visit(ctx, id)
		if err == nil {
			k.holdVisit(row)
		}
		return err
	}); err != nil {
		return Visit{}, err
	}
	v, ok := k.table.visit(id)
	if !ok {
		return Visit{}, errNone
	}
	f, seen, err := k.find(ctx, v.session, v.place, now)
	if err != nil {
		return Visit{}, err
	}
	return k.visitOf(id, &v, &f, uses(seen, now, used), c, app)
}

// uses gives the last use of a session: now, when this is one.
func uses(seen, now int64, used bool) int64 {
	if used {
		return now
	}
	return min(seen, now)
}

// visitOf refuses a visit on any host but its own: cookies can be copied, and
// what the internal network was shown is not for whoever copies one to the
// internet.
func (k *Keeper) visitOf(id parvis.SessionID, v *visit, f *facts, seen int64, c parvis.Channel, app parvis.AppID) (Visit, error) {
	if string(v.app[:v.appLen]) != string(app) || channels[v.channel] != c {
		return Visit{}, errNone
	}
	end := min(f.ends, seen+k.limit(channels[f.channel]).Idle.Microseconds())
	return Visit{ID: id, Session: v.session, Channel: c, Version: k.stamps.at(f.stamp), Until: time.UnixMicro(end), place: v.place}, nil
}

// Session gives a session by its identifier, if it may be used now; false too
// when that cannot be known. It is no use of it.
func (k *Keeper) Session(ctx context.Context, id parvis.SessionID) (parvis.Session, bool) {
	s, err := k.Live(ctx, id)
	return s, err == nil
}

// cookie reads the identifier that a request presents. Two cookies of one name
// mean that somebody planted one: neither is believed. The channel is that of
// the host.
func (k *Keeper) cookie(r *http.Request, base string) (parvis.SessionID, parvis.Channel, bool) {
	c, _, ok := k.Addresses.Find(r.Host)
	if !ok {
		return parvis.SessionID{}, "", false
	}
	value := ""
	secure := k.Addresses.Secure(c)
	for _, line := range r.Header["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			name, v, _ := strings.Cut(strings.TrimLeft(pair, " \t"), "=")
			if secure {
				if name, ok = strings.CutPrefix(name, prefix); !ok {
					continue
				}
			}
			if name != base {
				continue
			}
			if value != "" {
				return parvis.SessionID{}, "", false
			}
			value = strings.TrimRight(v, " \t")
		}
	}
	if len(value) != tokenLength {
		return parvis.SessionID{}, "", false
	}
	// What seal.Hash does, without its allocation: this runs for every request.
	var secret [tokenLength]byte
	copy(secret[:], value)
	hash := sha256.Sum256(secret[:])
	return parvis.SessionID(hash[:16]), c, true
}

// ours tells whether a cookie of this name belongs to the front door.
func ours(name string) bool {
	name = strings.TrimPrefix(strings.TrimSpace(name), prefix)
	return name == portalCookie || strings.HasPrefix(name, portalCookie+"-")
}

// Strip takes our cookies out of a request that goes to an application. It
// works in place: the header must not be shared.
func Strip(h http.Header) {
	keep(h, "Cookie", func(line string) string {
		if !strings.Contains(line, portalCookie) {
			return line
		}
		return others(line)
	})
}

// keep replaces each line of a field, and removes those that become empty.
func keep(h http.Header, field string, replace func(string) string) {
	lines, ok := h[field]
	if !ok {
		return
	}
	kept := lines[:0]
	for _, line := range lines {
		if line = replace(line); line != "" {
			kept = append(kept, line)
		}
	}
	if h[field] = kept; len(kept) == 0 {
		delete(h, field)
	}
}

// others gives a Cookie field without our cookies.
func others(line string) string {
	var b strings.Builder
	for line != "" {
		var pair string
		pair, line, _ = strings.Cut(line, ";")
		pair = strings.TrimSpace(pair)
		if name, _, _ := strings.Cut(pair, "="); pair == "" || ours(name) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(pair)
	}
	return b.String()
}

// Guard takes out of an application's answer the cookies that would pass for
// ours. A cookie without a name counts: browsers send back its value alone,
// which then reads as a name and a value. It works in place.
func Guard(h http.Header) {
	keep(h, "Set-Cookie", func(line string) string {
		pair, _, _ := strings.Cut(line, ";")
		name, value, _ := strings.Cut(pair, "=")
		if strings.TrimSpace(name) == "" {
			name, _, _ = strings.Cut(value, "=")
		}
		if ours(name) {
			return ""
		}
		return line
	})
}
