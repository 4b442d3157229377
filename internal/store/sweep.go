package store

import (
	"context"
	"strconv"
	"time"

	"parvis"
)

// How long what is over stays known, and how much one transaction removes of
// each: others wait for it.
const (
	grantsKept  = 7 * 24 * time.Hour  // as rows of sessions are
	noticesKept = 30 * 24 * time.Hour // receipts
	forgetBatch = 1000
)

// Sweep removes what is over: grants seven days after they expired, receipts of
// notices after thirty days, documents and what was shown once as soon as they
// expired. It goes by small transactions, each with its event
// ("grant.forgotten"), until nothing is left. To be run every hour or so, by
// any process.
func (s *Store) Sweep(ctx context.Context) error {
	for {
		var gone int64
		err := s.Write(ctx, func(tx *Tx) error {
			now := tx.Now()
			grants, err := tx.ForgetGrants(ctx, now.Add(-grantsKept), forgetBatch)
			if err != nil {
				return err
			}
			notices, err := tx.exec(ctx, "DELETE FROM notice WHERE id IN (SELECT id FROM notice WHERE at < $1 ORDER BY at LIMIT $2)",
				micros(now.Add(-noticesKept)), forgetBatch)
			if err != nil {
				return err
			}
			documents, err := tx.ForgetDocuments(ctx, now, forgetBatch)
			if gone = grants + notices + documents; err != nil || gone == 0 {
				return err
			}
			tx.Record(parvis.Event{Kind: "grant.forgotten", Actor: "system", Detail: map[string]string{"rows": strconv.FormatInt(gone, 10)}})
			return nil
		})
		if err != nil || gone == 0 {
			return err
		}
	}
}
