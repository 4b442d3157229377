package main

import (
	"context"
	"fmt"
)

// forward compares the answer to another proxy's question with the least that
// net/http can answer: the same bytes come to both, over the same number of
// connections.
func (b *bench) forward(ctx context.Context) error {
	c, err := b.copy(ctx, "forward", relay, hopSessions, "127.0.0.1:9")
	if err != nil {
		return err
	}
	ours, err := b.open(ctx, c, hopSessions)
	if err != nil {
		return err
	}
	defer ours.p.stop()
	least, err := b.simple(ctx, "a bare 200", "bare")
	if err != nil {
		return err
	}
	defer least.p.stop()
	for range b.rounds {
		for _, p := range []*peer{least, ours} {
			if err := b.round(ctx, c, p); err != nil {
				return err
			}
		}
	}
	ratio := median(divideAll(ours.micros, least.micros))
	b.add(line{
		"/auth/verify, CPU per question, against a bare 200", fmt.Sprintf("%.1f µs", median(ours.micros)), fmt.Sprintf("%.1f µs", median(least.micros)),
		fmt.Sprintf("%.2f ×", ratio), "≤ 1.15 ×", holds(ratio <= 1.15),
	})
	b.add(line{
		"/auth/verify, questions/s", fmt.Sprintf("%.0f", median(ours.rate)), fmt.Sprintf("%.0f", median(least.rate)),
		fmt.Sprintf("%.2f ×", median(divideAll(ours.rate, least.rate))), "", told,
	})
	b.add(line{
		"/auth/verify, p99", fmt.Sprintf("%.1f ms", median(ours.p99)), fmt.Sprintf("%.1f ms", median(least.p99)),
		fmt.Sprintf("%.2f ×", median(divideAll(ours.p99, least.p99))), "", told,
	})
	b.note("forward: asked as nginx asks, about %d live sessions chosen at random, 32 connections, %d rounds of %d s; the limit is a net/http handler that does nothing",
		hopSessions, b.rounds, hopSeconds)
	return nil
}
