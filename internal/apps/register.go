package apps

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"parvis"
	"parvis/internal/seal"
	"parvis/internal/store"
)

// Fault is one thing that keeps an application from being served as it is
// declared.
type Fault = parvis.AppFault

// Register holds the applications: those of the configuration, and those kept
// in the store. Store, Clock and Apply are required. It must not be copied once
// used.
type Register struct {
	Store    *store.Store
	Clock    func() time.Time
	Log      *slog.Logger
	Declared []parvis.App // of the configuration: they cannot be changed here

	// Apply has everybody decide and answer by these applications from now on,
	// or changes nothing and says why it cannot. It is called one call at a
	// time; it may ask the Register what there is, which is these, and must
	// change nothing there.
	Apply func([]parvis.App) error

	Allow []netip.Prefix // networks that declared addresses may lie in, besides public ones

	once   sync.Once
	wake   chan struct{} // something was recorded about an application
	acting sync.Mutex    // one change at a time; held while Apply runs

	mu       sync.RWMutex
	all      []parvis.App // by ID
	versions map[parvis.AppID]int64

	troubles troubles
}

// retry is how long a reload that failed waits; wall clock.
const retry = 2 * time.Second

func (r *Register) ready() {
	r.once.Do(func() {
		r.wake = make(chan struct{}, 1)
		if r.Log == nil {
			r.Log = slog.New(slog.DiscardHandler)
		}
		r.Store.Follow(r.follow)
	})
}

func (r *Register) follow(events []parvis.Event) {
	for i := range events {
		switch events[i].Kind {
		case "app.changed", "app.removed", "app.secret_added", "app.secret_removed":
			select {
			case r.wake <- struct{}{}:
			default:
			}
			return
		}
	}
}

// Load reads the applications and applies them. An application kept in the
// store under a name that the configuration declares is passed over, with a
// warning: the file wins.
func (r *Register) Load(ctx context.Context) error {
	r.ready()
	r.acting.Lock()
	defer r.acting.Unlock()
	rows, err := r.Store.Apps(ctx)
	if err != nil {
		return err
	}
	all, versions := slices.Clone(r.Declared), map[parvis.AppID]int64{}
	for _, row := range rows {
		if r.Declares(row.App.ID) {
			r.Log.Warn("an application of the configuration hides one that is kept", "app", row.App.ID)
			continue
		}
		all, versions[row.App.ID] = append(all, row.App), row.Version
	}
	return r.apply(all, versions)
}

// apply has everybody go by a list, or changes nothing. The lock acting is held.
func (r *Register) apply(all []parvis.App, versions map[parvis.AppID]int64) error {
	slices.SortFunc(all, func(a, b parvis.App) int { return strings.Compare(string(a.ID), string(b.ID)) })
	before, known := r.swap(all, versions) // first: whoever applies it may ask what there is
	if err := r.Apply(slices.Clone(all)); err != nil {
		r.swap(before, known)
		return err
	}
	return nil
}

func (r *Register) swap(all []parvis.App, versions map[parvis.AppID]int64) (before []parvis.App, known map[parvis.AppID]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known = r.all, r.versions
	r.all, r.versions = all, versions
	return before, known
}

// Run follows what other processes change, until ctx ends.
func (r *Register) Run(ctx context.Context) error {
	r.ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		if err := r.reload(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error("the applications could not be read again: those of before stay", "cause", err)
			select {
			case <-ctx.Done():
			case <-time.After(retry):
			}
			select {
			case r.wake <- struct{}{}:
			default:
			}
		}
	}
}

// reload applies what is kept, unless it is what is known.
func (r *Register) reload(ctx context.Context) error {
	rows, err := r.Store.Apps(ctx)
	if err != nil {
		return err
	}
	r.mu.RLock()
	known := 0
	for _, row := range rows {
		if v, ok := r.versions[row.App.ID]; ok && v == row.Version || r.Declares(row.App.ID) {
			known++
		}
	}
	same := known == len(rows) && len(r.all) == len(r.versions)+len(r.Declared) && !r.gone(rows)
	r.mu.RUnlock()
	if same {
		return nil
	}
	return r.Load(ctx)
}

// gone tells whether an application that is known is kept no more.
func (r *Register) gone(rows []store.AppRow) bool {
	for id := range r.versions {
		if !slices.ContainsFunc(rows, func(row store.AppRow) bool { return row.App.ID == id }) {
			return true
		}
	}
	return false
}

// All lists the applications, by ID.
func (r *Register) All() []parvis.App {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.all)
}

// App gives an application. What it points to must not be changed.
func (r *Register) App(id parvis.AppID) (parvis.App, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i, ok := slices.BinarySearchFunc(r.all, id, func(a parvis.App, id parvis.AppID) int { return strings.Compare(string(a.ID), string(id)) })
	if !ok {
		return parvis.App{}, false
	}
	return r.all[i], true
}

// Kept lists the applications kept in the store, with who changed them and when.
func (r *Register) Kept(ctx context.Context) ([]store.AppRow, error) { return r.Store.Apps(ctx) }

// Declares tells whether the configuration declares an application, which can
// then be changed there only.
func (r *Register) Declares(id parvis.AppID) bool {
	return slices.ContainsFunc(r.Declared, func(a parvis.App) bool { return a.ID == id })
}

// Check lists all that keeps an application from being served as it is
// declared: the faults of the declaration, and addresses that could never be
// reached because they lie in a network that is not allowed.
func (r *Register) Check(app parvis.App) []Fault {
	faults := app.Faults()
	if c := app.OIDC; c != nil {
		for _, a := range []struct{ field, address string }{{"oidc.jwks_uri", c.JWKSURI}, {"oidc.back_channel_logout", c.BackChannel}} {
			u, err := url.Parse(a.address)
			if err != nil || u.Host == "" {
				continue
			}
			if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !reachable(ip, r.Allow) {
				faults = append(faults, Fault{Field: a.field, Code: parvis.FaultNetwork, Value: a.address})
			}
		}
	}
	return faults
}

// Put keeps an application; version is that of the row it was read from, 0 for
// a new one. Errors: [parvis.CodeInvalid] when it has faults or the policies do
// not load with it, [parvis.CodeConflict] when the configuration declares it or
// somebody changed it meanwhile. Whatever fails changes nothing.
func (r *Register) Put(ctx context.Context, app parvis.App, version int64, by string) error {
	const op = "apps.Put"
	if faults := r.Check(app); len(faults) > 0 {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: fmt.Errorf("%s: %s", faults[0].Field, faults[0].Code)}
	}
	detail := map[string]string{"new": "yes"}
	if before, ok := r.App(app.ID); ok && version > 0 {
		detail = map[string]string{"fields": changed(before, app)}
	}
	return r.put(ctx, op, app, version, parvis.Event{Kind: "app.changed", Actor: by, App: app.ID, Detail: detail})
}

// changed names the fields in which two declarations differ, for the record.
func changed(before, after parvis.App) string {
	var all []string
	a, b := reflect.ValueOf(before), reflect.ValueOf(after)
	for i := range a.NumField() {
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			all = append(all, a.Type().Field(i).Name)
		}
	}
	return strings.Join(all, " ")
}

// put applies a change, then keeps it; if it cannot be kept, what was before is
// applied again.
func (r *Register) put(ctx context.Context, op string, app parvis.App, version int64, event parvis.Event) error {
	return r.change(ctx, op, app.ID, func(all []parvis.App, versions map[parvis.AppID]int64) []parvis.App {
		versions[app.ID] = version + 1
		return append(all, app)
	}, func(tx *store.Tx) error {
		done, err := tx.PutApp(ctx, store.AppRow{App: app, Version: version, By: event.Actor, At: tx.Now()})
		if err == nil && !done {
			err = &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: errors.New("somebody changed it meanwhile")}
		}
		if err == nil {
			tx.Record(event)
		}
		return err
	})
}

// change replaces one application by what then adds, and writes it down.
func (r *Register) change(ctx context.Context, op string, id parvis.AppID, then func([]parvis.App, map[parvis.AppID]int64) []parvis.App, write func(*store.Tx) error) error {
	r.ready()
	if r.Declares(id) {
		return &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: errors.New("the configuration declares it")}
	}
	r.acting.Lock()
	defer r.acting.Unlock()
	r.mu.RLock()
	before, known := r.all, r.versions
	r.mu.RUnlock()
	versions := make(map[parvis.AppID]int64, len(known)+1)
	for app, v := range known {
		if app != id {
			versions[app] = v
		}
	}
	after := slices.DeleteFunc(slices.Clone(before), func(a parvis.App) bool { return a.ID == id })
	if err := r.apply(then(after, versions), versions); err != nil {
		return &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: err}
	}
	err := r.Store.Write(ctx, write)
	if err == nil {
		return nil
	}
	if again := r.apply(slices.Clone(before), known); again != nil {
		r.Log.Error("what was not kept could not be taken back", "app", id, "cause", again)
	}
	return err
}

// Remove forgets an application and ends what it holds of agents. Errors as for
// [Register.Put].
func (r *Register) Remove(ctx context.Context, id parvis.AppID, version int64, by string) error {
	const op = "apps.Remove"
	return r.change(ctx, op, id, func(all []parvis.App, _ map[parvis.AppID]int64) []parvis.App { return all }, func(tx *store.Tx) error {
		done, err := tx.RemoveApp(ctx, id, version)
		if err != nil {
			return err
		}
		if !done {
			return &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: errors.New("somebody changed it meanwhile")}
		}
		ended, err := tx.EndAppGrants(ctx, id, "app_removed")
		if err != nil {
			return err
		}
		detail := map[string]string{"grants": strconv.FormatInt(ended.Grants, 10), "notices": strconv.FormatInt(ended.Notices, 10)}
		tx.Record(parvis.Event{Kind: "app.removed", Actor: by, App: id, Detail: detail})
		return nil
	})
}

// AddSecret makes one more secret for an application that signs agents in by
// OpenID Connect: 256 random bits, shown this once. Those of before serve for as
// long as overlap says, and no longer.
func (r *Register) AddSecret(ctx context.Context, id parvis.AppID, by string, overlap time.Duration) (seal.Secret, error) {
	const op = "apps.AddSecret"
	row, err := r.client(ctx, op, id)
	if err != nil {
		return "", err
	}
	now := r.Clock().UTC().Truncate(time.Second)
	typed, hash := seal.Token()
	c := *row.App.OIDC
	c.Secrets = nil
	for _, s := range row.App.OIDC.Secrets {
		if end := now.Add(max(overlap, 0)); s.Expires.IsZero() || s.Expires.After(end) {
			s.Expires = end
		}
		if s.Expires.After(now) {
			c.Secrets = append(c.Secrets, s)
		}
	}
	c.Secrets = append(c.Secrets, parvis.ClientSecret{Hash: hash, Since: now})
	row.App.OIDC = &c
	detail := map[string]string{"secret": short(hash), "overlap": overlap.String()}
	if err := r.put(ctx, op, row.App, row.Version, parvis.Event{Kind: "app.secret_added", Actor: by, App: id, Detail: detail}); err != nil {
		return "", err
	}
	return seal.Secret(typed), nil
}

// DropSecret ends a secret at once. It is named by the first hexadecimal digits
// of its SHA-256, at least eight.
func (r *Register) DropSecret(ctx context.Context, id parvis.AppID, hash, by string) error {
	const op = "apps.DropSecret"
	row, err := r.client(ctx, op, id)
	if err != nil {
		return err
	}
	c := *row.App.OIDC
	c.Secrets = slices.DeleteFunc(slices.Clone(c.Secrets), func(s parvis.ClientSecret) bool {
		return len(hash) >= len(short(s.Hash)) && strings.HasPrefix(hex.EncodeToString(s.Hash[:]), strings.ToLower(hash))
	})
	if len(c.Secrets) == len(row.App.OIDC.Secrets) {
		return &parvis.Error{Code: parvis.CodeNotFound, Op: op, Err: errors.New("no such secret")}
	}
	row.App.OIDC = &c
	detail := map[string]string{"secret": hash[:8]}
	return r.put(ctx, op, row.App, row.Version, parvis.Event{Kind: "app.secret_removed", Actor: by, App: id, Detail: detail})
}

// short names a secret without telling it.
func short(hash [32]byte) string { return hex.EncodeToString(hash[:4]) }

// client reads the row of an application that may hold secrets.
func (r *Register) client(ctx context.Context, op string, id parvis.AppID) (store.AppRow, error) {
	if r.Declares(id) {
		return store.AppRow{}, &parvis.Error{Code: parvis.CodeConflict, Op: op, Err: errors.New("the configuration declares it")}
	}
	row, err := r.Store.App(ctx, id)
	if err != nil {
		return row, err
	}
	if c := row.App.OIDC; c == nil || c.Auth != parvis.ClientSecretBasic && c.Auth != parvis.ClientSecretPost {
		return row, &parvis.Error{Code: parvis.CodeInvalid, Op: op, Err: errors.New("it does not prove itself by a secret")}
	}
	return row, nil
}

// Secret tells whether what was typed is a secret of the application that
// serves at a moment. It takes as long whichever it is, and whether or not.
func (r *Register) Secret(app parvis.App, typed string, at time.Time) bool {
	if app.OIDC == nil {
		return false
	}
	hash, found := seal.Hash(typed), 0
	for _, s := range app.OIDC.Secrets {
		serves := 0
		if !s.Since.After(at) && (s.Expires.IsZero() || s.Expires.After(at)) && s.Hash != [32]byte{} {
			serves = 1
		}
		found |= serves & subtle.ConstantTimeCompare(hash[:], s.Hash[:])
	}
	return found == 1
}
