package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"parvis/internal/access"
)

type policyCommands struct {
	Check policyCheck `cmd:"" help:"Parse and validate the shipped policies and your own."`
	Test  policyTest  `cmd:"" help:"Run decision cases: what the policies are meant to answer."`
}

type policyCheck struct {
	place
	answer
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
	if c.JSON {
		return printJSON(con.out, map[string]any{"holds": true, "applications": len(h.policy.Apps())})
	}
	_, err = fmt.Fprintf(con.out, "the policies hold, for %d applications\n", len(h.policy.Apps()))
	return err
}

type policyTest struct {
	place
	answer
	Cases []string `arg:"" optional:"" placeholder:"FILE" help:"Files of cases; the cases/*.txt beside the configuration when absent."`
}

// lines ends each string with a line end.
func lines(all []string) string {
	var b strings.Builder
	for _, s := range all {
		b.WriteString(s + "\n")
	}
	return b.String()
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
	ran, differences := 0, []string{}
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
		differences = append(differences, h.policy.Run(cases)...)
	}
	if c.JSON {
		err = printJSON(con.out, map[string]any{"cases": ran, "differences": differences})
	} else {
		_, err = fmt.Fprintf(con.out, "%s%d cases, %d differences\n", lines(differences), ran, len(differences))
	}
	if err == nil && len(differences) > 0 {
		return unmet{}
	}
	return err
}
