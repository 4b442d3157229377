package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parvis"
	"parvis/internal/config"
	"parvis/internal/store"
)

type appCommands struct {
	List   appList   `cmd:"" help:"List the applications and how each learns who is there."`
	Import appImport `cmd:"" help:"Take applications from a folder of files, one each; --dry-run shows what would change."`
	Export appExport `cmd:"" help:"Write the applications made on pages or imported as files, for a repository."`
	Secret appSecret `cmd:"" help:"Make another secret for an OpenID client; the others serve on for a while."`
	Remove appRemove `cmd:"" help:"Remove an application that was made on pages or imported."`
}

// doors names how an application learns who is there, as the command line and
// the files call it.
func doors(a *parvis.App) []string {
	var all []string
	for _, d := range []struct {
		there bool
		name  string
	}{
		{a.Upstream != "", "gateway"}, {a.Forward, "forward"}, {a.OIDC != nil, "oidc"}, {a.CAS != nil, "cas"}, {a.SAML != nil, "saml"},
	} {
		if d.there {
			all = append(all, d.name)
		}
	}
	return all
}

type appList struct {
	place
	answer
}

func (c *appList) Run(con *console) error {
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }() // nothing was written
	type line struct {
		ID       parvis.AppID     `json:"id"`
		Name     parvis.Words     `json:"name"`
		Doors    []string         `json:"doors"`
		Channels []parvis.Channel `json:"channels"`
		Declared bool             `json:"declared"` // in the configuration file
	}
	all, rows := []line{}, [][]string{}
	for _, a := range h.register.All() {
		l := line{a.ID, a.Name, doors(&a), a.Channels, h.register.Declares(a.ID)}
		all = append(all, l)
		kept := "kept"
		if l.Declared {
			kept = "configuration"
		}
		rows = append(rows, []string{string(a.ID), a.Name.In("en"), strings.Join(l.Doors, " "), strings.Join(names(a.Channels), " "), kept})
	}
	if c.JSON {
		return printJSON(con.out, all)
	}
	return table(con.out, []string{"application", "name", "doors", "channels", "from"}, rows)
}

type appImport struct {
	place
	answer
	Dir    string `arg:"" placeholder:"DIR" help:"Folder of application files, ID.yaml."`
	DryRun bool   `help:"Show what would change and change nothing."`
}

// appChange is what an import does to one application.
type appChange struct {
	ID   parvis.AppID `json:"id"`
	Does string       `json:"does"` // add, change, keep
}

func (c *appImport) Run(con *console) error {
	apps, faults := config.ReadApps(c.Dir)
	if printFaults(con.err, c.Dir, faults) {
		return errors.New("nothing was imported: correct the lines above and run this again")
	}
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }() // a failed write has said so
	rows, err := h.register.Kept(con.ctx)
	if err != nil {
		return err
	}
	changes, bad := []appChange{}, false
	versions := map[parvis.AppID]int64{}
	for i := range apps {
		a := &apps[i]
		for _, f := range h.register.Check(*a) {
			fmt.Fprintf(con.err, "%s: %s: %s %s\n", filepath.Join(c.Dir, string(a.ID)+".yaml"), f.Field, f.Code, f.Value)
			bad = true
		}
		if h.register.Declares(a.ID) {
			fmt.Fprintf(con.err, "%s: the configuration file declares this application; take it out there first\n", filepath.Join(c.Dir, string(a.ID)+".yaml"))
			bad = true
		}
		ch := appChange{a.ID, "add"}
		if n := slices.IndexFunc(rows, func(r store.AppRow) bool { return r.App.ID == a.ID }); n >= 0 {
			versions[a.ID], ch.Does = rows[n].Version, "change"
			if same, err := sameFile(rows[n].App, *a); err != nil {
				return err
			} else if same {
				ch.Does = "keep"
			}
		}
		changes = append(changes, ch)
	}
	if bad {
		return errors.New("nothing was imported: correct what is named above and run this again")
	}
	if !c.DryRun {
		for i, ch := range changes {
			if ch.Does == "keep" {
				continue
			}
			if err := h.register.Put(con.ctx, apps[i], versions[ch.ID], operator()); err != nil {
				return fmt.Errorf("%s: %w; those before it were imported", ch.ID, err)
			}
		}
	}
	if c.JSON {
		return printJSON(con.out, map[string]any{"dry_run": c.DryRun, "applications": changes})
	}
	lines := [][]string{}
	for _, ch := range changes {
		lines = append(lines, []string{string(ch.ID), ch.Does})
	}
	return table(con.out, []string{"application", map[bool]string{true: "would", false: "did"}[c.DryRun]}, lines)
}

// sameFile tells whether two applications are written alike.
func sameFile(a, b parvis.App) (bool, error) {
	first, err1 := config.AppYAML(a)
	second, err2 := config.AppYAML(b)
	return string(first) == string(second), errors.Join(err1, err2)
}

type appExport struct {
	place
	Dir string `arg:"" placeholder:"DIR" help:"Folder to write to; files of other applications are left alone."`
	All bool   `help:"Also those that the configuration file declares."`
}

func (c *appExport) Run(con *console) error {
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }() // nothing was written
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return err
	}
	n := 0
	for _, a := range h.register.All() {
		if !c.All && h.register.Declares(a.ID) {
			continue
		}
		b, err := config.AppYAML(a)
		if err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(c.Dir, string(a.ID)+".yaml"), b); err != nil {
			return err
		}
		n++
	}
	_, err = fmt.Fprintf(con.out, "%d applications in %s\n", n, c.Dir)
	return err
}

// replaceFile writes beside, then renames: whoever reads meanwhile has the old
// file whole.
func replaceFile(name string, b []byte) error {
	if old, err := os.ReadFile(name); err == nil && string(old) == string(b) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	part := name + ".part"
	if err := os.WriteFile(part, b, 0o600); err != nil {
		return err
	}
	return os.Rename(part, name)
}

type appSecret struct {
	place
	answer
	ID      string        `arg:"" placeholder:"ID" help:"The application."`
	Overlap time.Duration `default:"168h" help:"How long the secrets of before serve on; 0 ends them at once."`
}

func (c *appSecret) Run(con *console) error {
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }() // a failed write has said so
	secret, err := h.register.AddSecret(con.ctx, parvis.AppID(c.ID), operator(), c.Overlap)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(con.out, map[string]string{"id": c.ID, "secret": secret.Reveal()})
	}
	_, err = fmt.Fprintf(con.out, "%s\n", secret.Reveal())
	fmt.Fprintln(con.err, "This is the only time it is shown.")
	return err
}

type appRemove struct {
	place
	ID string `arg:"" placeholder:"ID" help:"The application."`
}

func (c *appRemove) Run(con *console) error {
	h, err := c.open(con)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }() // a failed write has said so
	rows, err := h.register.Kept(con.ctx)
	if err != nil {
		return err
	}
	n := slices.IndexFunc(rows, func(r store.AppRow) bool { return r.App.ID == parvis.AppID(c.ID) })
	if n < 0 {
		return fmt.Errorf("%s is not kept here; `parvis app list` shows where each application comes from", c.ID)
	}
	if err := h.register.Remove(con.ctx, rows[n].App.ID, rows[n].Version, operator()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.out, "%s is removed, and what it held of agents has ended\n", c.ID)
	return err
}
