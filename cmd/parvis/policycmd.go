package main

import (
	"fmt"
	"os"
	"path/filepath"

	"parvis/internal/access"
)

type policyCommands struct {
	Check policyCheck `cmd:"" help:"Parse and validate the shipped policies and your own."`
	Test  policyTest  `cmd:"" help:"Run decision cases: what the policies are meant to answer."`
}

type policyCheck struct {
	place
	Policies string `arg:"" optional:"" placeholder:"DIR" help:"Folder of .cedar files to check in place of the configured one."`
}

// rulesOf builds the policies of an installation without opening its data.
func rulesOf(con *console, p place, policies string) (*house, error) {
	c, err := p.load(con)
	if err != nil {
		return nil, err
	}
	if policies != "" {
		c.Policies = policies
	}
	h := &house{config: c}
	return h, h.rules()
}

func (c *policyCheck) Run(con *console) error {
	h, err := rulesOf(con, c.place, c.Policies)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.out, "the policies hold, for %d applications\n", len(h.policy.Apps()))
	return err
}

type policyTest struct {
	place
	Cases []string `arg:"" optional:"" placeholder:"FILE" help:"Files of cases; the cases/*.txt beside the configuration when absent."`
}

func (c *policyTest) Run(con *console) error {
	h, err := rulesOf(con, c.place, "")
	if err != nil {
		return err
	}
	files := c.Cases
	if len(files) == 0 {
		name, err := c.file()
		if err != nil {
			return err
		}
		if files, err = filepath.Glob(filepath.Join(filepath.Dir(name), "cases", "*.txt")); err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("no cases: write some in %s, one text file for each theme", filepath.Join(filepath.Dir(name), "cases"))
		}
	}
	ran, wrong := 0, 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		cases, err := access.ParseCases(name, b, h.catalog)
		if err != nil {
			return err
		}
		ran += len(cases)
		for _, w := range h.policy.Run(cases) {
			wrong++
			fmt.Fprintln(con.out, w)
		}
	}
	fmt.Fprintf(con.out, "%d cases, %d differences\n", ran, wrong)
	if wrong > 0 {
		return unmet{}
	}
	return nil
}
