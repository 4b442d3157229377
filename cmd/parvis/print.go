package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"
)

// answer is the switch that every printing command has.
type answer struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table prints rows under headings.
func table(w io.Writer, headings []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, h := range headings {
		headings[i] = strings.ToUpper(h)
	}
	for _, row := range append([][]string{headings}, rows...) {
		if _, err := fmt.Fprintln(tw, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// progress shows how far long work is, on a terminal only.
func (con *console) progress(what string) func(done, total int) {
	if !con.terminal {
		return nil
	}
	return func(done, total int) {
		end := ""
		if done >= total {
			end = "\n"
		}
		fmt.Fprintf(con.err, "\r%s: %d of %d%s", what, done, total, end)
	}
}
