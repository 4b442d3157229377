// Command parvis is the secure front door of an administration for its staff:
// the server, and the operator's commands beside it.
//
// It promises that serve.go reads as the plan of the house; that every command
// answers on standard output, explains itself on standard error and ends with
// 0 for done, 1 for failed or a check that does not hold, 2 for wrong use.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // the city's time zone must be known on a bare machine

	"github.com/alecthomas/kong"

	"parvis"
)

// version is set by the release script; a plain build takes it from the module.
var version = ""

// commands is the command line.
type commands struct {
	Demo    demoCommand    `cmd:"" help:"Start a fictional city on this machine: nothing else to install."`
	Serve   serveCommand   `cmd:"" help:"Serve an installation."`
	Config  configCommands `cmd:"" help:"Write, check and explain the configuration file."`
	Agent   agentCommands  `cmd:"" help:"Import the HR file; look at agents."`
	Why     whyCommand     `cmd:"" help:"Say whether an agent may open an application, every reason, and the ways."`
	Map     mapCommand     `cmd:"" help:"Show applications and entrances for one agent."`
	Policy  policyCommands `cmd:"" help:"Check the policies and run their cases."`
	App     appCommands    `cmd:"" help:"Applications kept beside the configuration: list, import, export, secrets."`
	Audit   auditCommands  `cmd:"" help:"Prove the audit log whole; export it."`
	Admin   adminCommands  `cmd:"" help:"Grant a role from the machine itself; get in when nobody can."`
	Version versionCommand `cmd:"" help:"Print version, commit and schema."`
}

// console is where a command reads and answers.
type console struct {
	ctx      context.Context
	out, err io.Writer
	terminal bool // standard error is a terminal: progress may be shown
}

// usage is wrong use: status 2.
type usage struct{ error }

// unmet is a check that does not hold, already explained: status 1, no more words.
type unmet struct{}

func (unmet) Error() string { return "a check does not hold" }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c commands
	exit := -1
	parser, err := kong.New(&c, kong.Name("parvis"), kong.Writers(out, errs), kong.Exit(func(code int) { exit = code }),
		kong.Description("Secure front door of an administration for its own staff."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.UsageOnError())
	if err != nil {
		fmt.Fprintln(errs, "parvis:", err)
		return 1
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 { // --help was answered
		return exit
	}
	if err != nil {
		fmt.Fprintln(errs, "parvis:", err)
		return 2
	}
	err = parsed.Run(&console{ctx: ctx, out: out, err: errs, terminal: isTerminal(errs)})
	var wrong usage
	switch {
	case err == nil:
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintln(errs, "parvis:", err)
		return 2
	case errors.Is(err, unmet{}):
		return 1
	}
	fmt.Fprintln(errs, "parvis:", plain(err))
	return 1
}

// plain is what an operator reads of an error: its cause, without the names of
// the acts that passed it on.
func plain(err error) string {
	var e *parvis.Error
	for errors.As(err, &e) && e.Err != nil {
		err = e.Err
	}
	return err.Error()
}

// release tells the version and the commit of this binary.
func release() (ver, commit string) {
	ver, commit = version, "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ver, commit
	}
	if ver == "" {
		ver = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = s.Value
		}
	}
	return ver, commit
}
