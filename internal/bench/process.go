package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// divide gives what is measured one processor, and the rest to who loads it.
func (b *bench) divide() {
	out, err := exec.Command("taskset", "-cp", strconv.Itoa(os.Getpid())).Output()
	_, list, ok := strings.Cut(string(out), "list: ")
	var all []string
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		from, to, ranged := strings.Cut(part, "-")
		first, err1 := strconv.Atoi(from)
		last := first
		if ranged {
			last, _ = strconv.Atoi(to)
		}
		for i := first; err1 == nil && i <= last; i++ {
			all = append(all, strconv.Itoa(i))
		}
	}
	if err != nil || !ok || len(all) < 2 {
		b.note("the processors could not be divided (taskset, two at least): load and server share them")
		return
	}
	b.served, b.others = all[0], strings.Join(all[1:], ",")
}

// process is a program started here.
type process struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

// launch starts a program on some processors (empty: any). It ends with ctx at
// the latest.
func (b *bench) launch(ctx context.Context, on string, args ...string) (*process, error) {
	if on != "" {
		args = append([]string{"taskset", "-c", on}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	errs, err := os.OpenFile(filepath.Join(b.work, "errors"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = errs.Close() }() // the child has its own
	cmd.Stderr = errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd, bufio.NewReader(out)}, nil
}

// line reads the next line that the program writes.
func (p *process) line() (string, error) {
	s, err := p.out.ReadString('\n')
	return strings.TrimSpace(s), err
}

// stop asks the program to end, and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	go func() { _, _ = io.Copy(io.Discard, p.out) }()
	late := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	_ = p.cmd.Wait() // how it ends is not what is measured
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// userHZ is the unit of /proc/PID/stat on every Linux that Go runs on.
const userHZ = 100

// cpu is the processor time that a process has used.
func cpu(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // proc_pid_stat(5): field 3 on
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat cannot be read")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / userHZ, errors.Join(err1, err2)
}

// memory reads a figure of /proc/PID/status, "VmRSS" or "VmHWM", in MB.
func memory(pid int, name string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(l, name+":"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("no %s", name)
}

// serve starts the door on a city, and waits until it is ready; it answers how
// long that took.
func (b *bench) serve(ctx context.Context, on string, c *city) (*process, time.Duration, error) {
	began := time.Now()
	p, err := b.launch(ctx, on, b.parvis, "serve", "-c", c.file)
	if err != nil {
		return nil, 0, err
	}
	client := &http.Client{Timeout: time.Second}
	for {
		res, err := client.Get("http://" + c.operations + "/readyz")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		if ctx.Err() != nil || time.Since(began) > 30*time.Second {
			p.stop()
			errs, _ := os.ReadFile(filepath.Join(b.work, "errors"))
			return nil, 0, fmt.Errorf("serve is not ready: %w\n%s", errors.Join(err, ctx.Err()), errs)
		}
		time.Sleep(time.Millisecond)
	}
	took := time.Since(began)
	go func() { _, _ = io.Copy(io.Discard, p.out) }()
	return p, took, nil
}

// settle waits until a process has nothing left to do.
func settle(ctx context.Context, pid int) error {
	before, err := cpu(pid)
	for quiet := 0; err == nil && quiet < 2; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
		var now time.Duration
		now, err = cpu(pid)
		quiet++
		if now-before > 20*time.Millisecond {
			quiet = 0
		}
		before = now
	}
	return err
}

// port gives an address of the loopback that nobody uses.
func port() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
