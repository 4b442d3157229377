package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"parvis/internal/config"
)

type configCommands struct {
	Init     configInit     `cmd:"" help:"Write a complete, commented file to begin with."`
	Check    configCheck    `cmd:"" help:"Report every fault of a file with its line."`
	Describe configDescribe `cmd:"" help:"Print what each field means."`
}

type configInit struct {
	File string `arg:"" optional:"" default:"parvis.yaml" help:"File to write; it must not exist."`
}

func (c *configInit) Run(con *console) error {
	f, err := os.OpenFile(c.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists already and is left as it is", c.File)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(config.Init(f), f.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.out, "%s is written. Next: edit it, `parvis config check -c %s`, `parvis serve -c %s`.\n", c.File, c.File, c.File)
	return err
}

type configCheck struct {
	place
	answer
}

func (c *configCheck) Run(con *console) error {
	name, err := c.file()
	if err != nil {
		return err
	}
	cfg, faults, err := config.Load(name)
	if errors.Is(err, os.ErrNotExist) {
		return noFile(name)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		if faults == nil {
			faults = []config.Fault{}
		}
		if err := printJSON(con.out, faults); err != nil {
			return err
		}
	}
	stop := false
	for _, f := range faults {
		stop = stop || !f.Warning
		if !c.JSON {
			fmt.Fprintf(con.out, "%s: %s\n", filepath.Base(name), f)
		}
	}
	if !stop {
		if err := (&house{config: cfg}).rules(); err != nil {
			fmt.Fprintln(con.err, err)
			return unmet{}
		}
	}
	if stop {
		return unmet{}
	}
	if !c.JSON {
		fmt.Fprintf(con.out, "%s holds: %d applications, %d entrances.\n", filepath.Base(name), len(cfg.Applications), len(cfg.Entrances))
	}
	return nil
}

type configDescribe struct{}

func (c *configDescribe) Run(con *console) error { return config.Describe(con.out) }
