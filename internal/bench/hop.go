package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	hopSessions = 55_000
	fewSessions = 1000
	hopSeconds  = 3
)

// peer is what a load goes through.
type peer struct {
	name    string
	address string
	p       *process
	rate    []float64
	p99     []float64
	micros  []float64 // of processor time for each request
}

// through sends one load and gives what it found.
func (b *bench) through(ctx context.Context, c *city, address string, more ...string) (result, error) {
	args := append([]string{b.self, "load", "-to", address, "-host", c.host(), "-cookies", c.cookies}, more...)
	if c.app == relay {
		args = append(args, "-ask", c.portal)
	}
	p, err := b.launch(ctx, b.others, args...)
	if err != nil {
		return result{}, err
	}
	var r result
	err = json.NewDecoder(p.out).Decode(&r)
	p.stop()
	if err != nil {
		errs, _ := os.ReadFile(filepath.Join(b.work, "errors"))
		return r, fmt.Errorf("the load: %w\n%s", err, errs)
	}
	if r.Wrong > r.Requests/1000 { // connections may be closed; answers may not be wrong
		return r, fmt.Errorf("%d of %d answers are wrong, the first: %s", r.Wrong, r.Wrong+r.Requests, r.First)
	}
	return r, nil
}

// round measures one peer once.
func (b *bench) round(ctx context.Context, c *city, p *peer, more ...string) error {
	before, err := cpu(p.p.pid())
	if err != nil {
		return err
	}
	r, err := b.through(ctx, c, p.address, append([]string{"-seconds", strconv.Itoa(hopSeconds)}, more...)...)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	after, err := cpu(p.p.pid())
	if err != nil {
		return err
	}
	p.rate, p.p99 = append(p.rate, r.rate()), append(p.p99, r.P99)
	p.micros = append(p.micros, float64((after-before).Microseconds())/float64(r.Requests))
	return nil
}

// behind starts the application that answers.
func (b *bench) behind(ctx context.Context) (*process, string, error) {
	p, err := b.launch(ctx, b.others, b.self, "upstream")
	if err != nil {
		return nil, "", err
	}
	address, err := p.line()
	return p, address, err
}

// open starts a door on a city, and lets every one of its first visits in once.
func (b *bench) open(ctx context.Context, c *city, warm int) (_ *peer, err error) {
	p, took, err := b.serve(ctx, b.served, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.stop()
		}
	}()
	if err := settle(ctx, p.pid()); err != nil {
		return nil, err
	}
	began := time.Now()
	r, err := b.through(ctx, c, c.address, "-each", "-visits", strconv.Itoa(warm))
	if err != nil {
		return nil, err
	}
	b.say("%d sessions: ready in %d ms, in memory; first requests of %d in %.1f s", c.visits, took.Milliseconds(), r.Requests, time.Since(began).Seconds())
	return &peer{name: fmt.Sprintf("parvis, %d sessions", c.visits), address: c.address, p: p}, settle(ctx, p.pid())
}

// hop compares the door with what only passes requests on.
func (b *bench) hop(ctx context.Context) error {
	application, address, err := b.behind(ctx)
	if err != nil {
		return err
	}
	defer application.stop()
	c, err := b.copy(ctx, "hop", pay, hopSessions, address)
	if err != nil {
		return err
	}
	ours, err := b.open(ctx, c, hopSessions)
	if err != nil {
		return err
	}
	defer ours.p.stop()
	simple, err := b.simple(ctx, "plain ReverseProxy", "plain", address)
	if err != nil {
		return err
	}
	defer simple.p.stop()
	peers := []*peer{simple, ours}
	front, err := b.nginx(ctx, address)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		b.note("nginx is not installed: its line is missing (on Debian: apt-get install nginx-light)")
	case err != nil:
		return err
	default:
		defer front.p.stop()
		peers = append([]*peer{front}, peers...)
	}
	for range b.rounds {
		for _, p := range peers {
			if err := b.round(ctx, c, p); err != nil {
				return err
			}
		}
	}
	for _, limit := range peers[:len(peers)-1] {
		aim := 1.15
		if limit == front {
			aim = 2.5
		}
		ratio := median(divideAll(ours.micros, limit.micros))
		b.add(line{
			"CPU per request, against " + limit.name, fmt.Sprintf("%.1f µs", median(ours.micros)), fmt.Sprintf("%.1f µs", median(limit.micros)),
			fmt.Sprintf("%.2f ×", ratio), fmt.Sprintf("≤ %.2f ×", aim), holds(ratio <= aim),
		})
	}
	for _, limit := range peers[:len(peers)-1] {
		b.add(line{
			"requests/s, against " + limit.name, fmt.Sprintf("%.0f", median(ours.rate)), fmt.Sprintf("%.0f", median(limit.rate)),
			fmt.Sprintf("%.2f ×", median(divideAll(ours.rate, limit.rate))), "", told,
		})
	}
	rss, err := memory(ours.p.pid(), "VmRSS")
	b.add(line{what: fmt.Sprintf("memory, %d sessions and agents in use", hopSessions), ours: fmt.Sprintf("%.0f MB", rss)})
	b.note("gateway: %d live sessions chosen at random, 32 connections, 1 KiB, no TLS, %d rounds of %d s; server on processor %s, load and application on %s",
		hopSessions, b.rounds, hopSeconds, b.served, b.others)
	return err
}

// simple starts a part of this program as a peer.
func (b *bench) simple(ctx context.Context, name string, part ...string) (*peer, error) {
	p, err := b.launch(ctx, b.served, append([]string{b.self}, part...)...)
	if err != nil {
		return nil, err
	}
	address, err := p.line()
	if err != nil {
		p.stop()
	}
	return &peer{name: name, address: address, p: p}, err
}

// nginx starts a bare proxy_pass.
func (b *bench) nginx(ctx context.Context, application string) (*peer, error) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			return nil, exec.ErrNotFound
		}
	}
	address, err := port()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.work, "nginx")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	text := strings.NewReplacer("LISTEN", address, "APPLICATION", application, "DIR", dir).Replace(`
daemon off;
master_process off;
pid DIR/pid;
error_log DIR/error.log;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path DIR/body;
	proxy_temp_path DIR/proxy;
	fastcgi_temp_path DIR/fastcgi;
	uwsgi_temp_path DIR/uwsgi;
	scgi_temp_path DIR/scgi;
	keepalive_requests 100000000;
	upstream application { server APPLICATION; keepalive 64; keepalive_requests 100000000; }
	server {
		listen LISTEN;
		location / { proxy_pass http://application; proxy_http_version 1.1; proxy_set_header Connection ""; }
	}
}
`)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := b.launch(ctx, b.served, path, "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", file)
	if err != nil {
		return nil, err
	}
	return &peer{name: "nginx proxy_pass", address: address, p: p}, listening(ctx, address)
}

// sessions compares the door with few and with many sessions in memory, of
// which as many are in use.
func (b *bench) sessions(ctx context.Context) error {
	application, address, err := b.behind(ctx)
	if err != nil {
		return err
	}
	defer application.stop()
	var doors []*peer
	var cities []*city
	for _, n := range []int{fewSessions, b.many} {
		began := time.Now()
		c, err := b.copy(ctx, fmt.Sprint("sessions-", n), pay, n, address)
		if err != nil {
			return err
		}
		b.say("%d sessions written in %.1f s", c.visits, time.Since(began).Seconds())
		door, err := b.open(ctx, c, fewSessions)
		if err != nil {
			return err
		}
		defer door.p.stop()
		doors, cities = append(doors, door), append(cities, c)
	}
	for range b.rounds {
		for i, door := range doors {
			if err := b.round(ctx, cities[i], door, "-visits", strconv.Itoa(fewSessions)); err != nil {
				return err
			}
		}
	}
	few, many := doors[0], doors[1]
	rate, p99 := median(divideAll(many.rate, few.rate)), median(divideAll(many.p99, few.p99))
	n := cities[1].visits
	name := fmt.Sprintf("%d sessions against %d: ", n, fewSessions)
	b.add(line{
		name + "requests/s", fmt.Sprintf("%.0f", median(many.rate)), fmt.Sprintf("%.0f", median(few.rate)),
		fmt.Sprintf("%.2f ×", rate), "≥ 0.95 ×", holds(rate >= 0.95),
	})
	b.add(line{
		name + "p99", fmt.Sprintf("%.1f ms", median(many.p99)), fmt.Sprintf("%.1f ms", median(few.p99)),
		fmt.Sprintf("%.2f ×", p99), "≤ 1.30 ×", holds(p99 <= 1.3),
	})
	b.add(line{
		name + "CPU per request", fmt.Sprintf("%.1f µs", median(many.micros)), fmt.Sprintf("%.1f µs", median(few.micros)),
		fmt.Sprintf("%.2f ×", median(divideAll(many.micros, few.micros))), "", told,
	})
	rss, err := memory(many.p.pid(), "VmRSS")
	b.add(line{what: fmt.Sprintf("memory, %d sessions", n), ours: fmt.Sprintf("%.0f MB", rss)})
	b.note("%d and %d sessions: rows written through the store, read by serve at its start; %d of them in use in both; %d rounds of %d s",
		fewSessions, n, fewSessions, b.rounds, hopSeconds)
	return err
}
