// Command bench measures the door against the limits of the machine it runs
// on, and prints one table of ratios (make bench).
//
// It promises that whatever is compared is measured in turns, in the same run,
// on the same processors, and that a figure is the median of its rounds; that
// the door measured is the real program, as it is released and configured, on
// a database of its own; that it speaks on the loopback interface only, and
// ends by itself with everything it started. Aims are printed, never
// asserted: the status says only whether everything could be measured.
//
// It refuses to be part of the product: nothing imports it.
//
// A run:
//
//	city      agents, passwords and sessions, through the store
//	hop       nginx, a plain reverse proxy and the door, in turns
//	forward   a question of another proxy, and a bare 200, in turns
//	flows     code flows and refreshes: two issuers that do the least, the
//	          door, and the door with 1,000,000 grants, in turns
//	decision  the benchmarks of package access
//	start     serve, from exec to ready; what it holds when idle
//	sign-ins  200 at once, and bare Argon2id, in turns
//	store     events written by many hands, and bare fsync, in turns
//	sessions  the door with 1,000 and with 1,000,000 of them, in turns
//
// The same binary plays the other parts: "upstream", "plain", "bare", "issuer",
// "load" and "party" as its first argument.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// enough is how long a whole run may take: about seven minutes on a machine of
// one's own, more among neighbours.
const enough = 12 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 {
		if part, ok := map[string]func(context.Context, []string) error{
			"upstream": upstream, "plain": plain, "bare": bare, "issuer": issuer, "load": load, "party": relyingParty,
		}[os.Args[1]]; ok {
			exit(part(ctx, os.Args[2:]))
		}
	}
	b := &bench{}
	flag.StringVar(&b.parvis, "parvis", "bin/parvis", "the program to measure")
	flag.StringVar(&b.only, "only", "", "measure only these, by name: hop,forward,flows,decision,proofs,start,signins,store,sessions")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds of the gateway, each with every peer")
	flag.IntVar(&b.many, "sessions", 1_000_000, "how many sessions, and grants, are many")
	flag.Parse()
	ctx, cancel := context.WithTimeout(ctx, enough)
	defer cancel()
	err := b.run(ctx)
	b.print()
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is one run.
type bench struct {
	parvis, only string
	rounds, many int

	self           string // this program
	work           string // a folder of its own, removed at the end
	served, others string // processors: of what is measured, of the rest; empty when they are not divided
	base           *city
	lines          []line
	notes          []string
}

// line is one row of the table.
type line struct {
	what, ours, limit, ratio, aim string
	verdict
}

type verdict int

const (
	told verdict = iota // there is no aim
	met
	missed
)

func (v verdict) String() string { return [...]string{"", "met", "NOT met"}[v] }

func holds(ok bool) verdict {
	if ok {
		return met
	}
	return missed
}

func (b *bench) add(l line) { b.lines = append(b.lines, l) }

func (b *bench) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// say tells on standard error what is being done.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.parvis, err = filepath.Abs(b.parvis); err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp("", "parvis-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	b.divide()
	steps := []struct {
		name string
		city bool // it needs the people
		run  func(context.Context) error
	}{
		{"hop", true, b.hop},
		{"forward", true, b.forward},
		{"flows", true, b.flows},
		{"decision", false, b.decision},
		{"proofs", false, b.proofs},
		{"start", true, b.start},
		{"signins", true, b.signIns},
		{"store", false, b.store},
		{"sessions", true, b.sessions},
	}
	for _, step := range steps {
		if b.only != "" && !slices.Contains(strings.Split(b.only, ","), step.name) {
			continue
		}
		began := time.Now()
		if step.city && b.base == nil {
			if b.base, err = b.found(ctx, people); err != nil {
				return fmt.Errorf("the city: %w", err)
			}
			b.say("a city of %d agents, in %.1f s", people, time.Since(began).Seconds())
		}
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		b.say("%s: %.1f s", step.name, time.Since(began).Seconds())
	}
	return nil
}

func (b *bench) print() {
	fmt.Printf("%s, %d processors, %s/%s. Medians of rounds in turns; ratios are what to read.\n\n",
		runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tours\tlimit\tratio\taim\t")
	for _, l := range b.lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.what, l.ours, l.limit, l.ratio, l.aim, l.verdict)
	}
	_ = w.Flush() // standard output: nobody is left to tell
	fmt.Println()
	for _, n := range b.notes {
		fmt.Println("-", n)
	}
}

// median of an odd or even number of figures; of their copy, in no order.
func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(all))
	return (s[len(s)/2] + s[(len(s)-1)/2]) / 2
}

// divideAll gives the ratios of figures measured in the same rounds.
func divideAll(a, b []float64) []float64 {
	all := make([]float64, min(len(a), len(b)))
	for i := range all {
		all[i] = a[i] / b[i]
	}
	return all
}
