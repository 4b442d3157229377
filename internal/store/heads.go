package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"time"

	"parvis"
	"parvis/internal/audit"
)

const fileHeadEvery = time.Minute

// openHeads compares the copies of signed heads with the database, and adds
// the present head to them.
func (s *Store) openHeads(ctx context.Context) error {
	var signed string
	if err := s.q.QueryRowContext(ctx, "SELECT note FROM audit_head WHERE id = 1").Scan(&signed); err != nil {
		return err
	}
	s.head.Store(&signed)
	if s.o.HeadFile == "" {
		return nil
	}
	copies, err := s.headCopies()
	if err != nil {
		return err
	}
	var last audit.Head
	if len(copies) > 0 {
		if last, err = s.o.Heads.Open(copies[len(copies)-1]); err != nil {
			s.o.Log.Error("the last head kept outside the database cannot be read", "file", s.o.HeadFile, "cause", err)
		}
		s.filed = last.Size
	}
	if signed == "" && last.Size == 0 {
		return nil
	}
	now, err := s.o.Heads.Open(signed)
	if err != nil || now.Size < last.Size || (now.Size == last.Size && now.Root != last.Root) {
		// Opening goes on: this may be a backup that was put back, and
		// audit verify needs an open store to say what it is.
		s.o.Log.Error("the audit trail is not the one whose heads were kept outside the database: run audit verify",
			"kept", last.Size, "found", now.Size, "cause", err)
		if err != nil {
			return nil
		}
	}
	return s.appendHead()
}

// fileHead adds the latest signed head to the copies, when it grew.
func (s *Store) fileHead() {
	if s.o.HeadFile == "" {
		return
	}
	if err := s.appendHead(); err != nil {
		s.o.Log.Error("the signed head of the audit trail could not be copied", "file", s.o.HeadFile, "cause", err)
	}
}

// A head takes one line of the file: its own lines joined by this sign, which
// neither base64 nor a name of a key has.
const lineSign = "|"

func (s *Store) appendHead() error {
	signed := *s.head.Load()
	if signed == "" {
		return nil
	}
	head, err := s.o.Heads.Open(signed)
	if err != nil || head.Size <= s.filed {
		return err
	}
	f, err := os.OpenFile(s.o.HeadFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, fileMode)
	if err != nil {
		return err
	}
	// One write, begun on a new line, so that a line cut short by a crash
	// spoils nothing but itself.
	_, err = f.WriteString("\n" + strings.ReplaceAll(signed, "\n", lineSign) + ".\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		s.filed = head.Size
	}
	return err
}

// headCopies reads the file of heads. Lines cut short are left out.
func (s *Store) headCopies() ([]string, error) {
	text, err := os.ReadFile(s.o.HeadFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var copies []string
	for line := range strings.Lines(string(text)) {
		if line, whole := strings.CutSuffix(line, ".\n"); whole {
			copies = append(copies, strings.ReplaceAll(line, lineSign, "\n"))
		}
	}
	return copies, err
}

// VerifyAudit proves the audit trail whole, or names the first bad record: it
// computes the tree again from the stored events and compares it with the
// stored hashes, with the signed head, and with every copy of a head kept
// outside the database. It reads one moment of the database while writes go
// on. An error means that it could not look; what it found is in the report.
func (s *Store) VerifyAudit(ctx context.Context) (audit.Report, error) {
	const op = "store.VerifyAudit"
	evidence := audit.Evidence{Notary: s.o.Heads}
	if s.o.HeadFile != "" {
		// Before the snapshot, which then has all that they speak of.
		copies, err := s.headCopies()
		if err != nil {
			return audit.Report{}, fail(op, err)
		}
		evidence.Copies = copies
	}
	tx, err := s.read.BeginTx(ctx, s.engine.snapshot())
	if err != nil {
		return audit.Report{}, fail(op, err)
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	r := reader{q: tx}
	err = tx.QueryRowContext(ctx, "SELECT note FROM audit_head WHERE id = 1").Scan(&evidence.Head)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return audit.Report{}, fail(op, err)
	}
	pages := pager{ctx: ctx, r: r}
	evidence.Records = pages.events
	evidence.Hashes = pages.hashes
	report, err := audit.Verify(evidence)
	return report, fail(op, err)
}

// pager reads two tables side by side inside one transaction, a page at a
// time, because PostgreSQL has one open query in each connection.
type pager struct {
	ctx context.Context
	r   reader
}

const verifyPage = 2000

func (p pager) events(yield func(parvis.Event, error) bool) {
	for from := int64(-1 << 62); ; {
		page, err := many(p.ctx, p.r, "store.VerifyAudit", scanEvent,
			"SELECT "+eventColumns+" FROM event WHERE seq >= $1 ORDER BY seq LIMIT $2", from, verifyPage)
		if err != nil {
			yield(parvis.Event{}, err)
			return
		}
		for _, e := range page {
			if !yield(e, nil) {
				return
			}
		}
		if len(page) < verifyPage {
			return
		}
		from = page[len(page)-1].Seq + 1
	}
}

func (p pager) hashes(yield func(audit.Stored, error) bool) {
	scan := func(scan func(...any) error) (audit.Stored, error) {
		var h audit.Stored
		var b []byte
		err := scan(&h.Index, &b)
		h.Hash = toHash(b)
		return h, err
	}
	for from := int64(-1 << 62); ; {
		page, err := many(p.ctx, p.r, "store.VerifyAudit", scan,
			"SELECT idx, hash FROM audit_hash WHERE idx >= $1 ORDER BY idx LIMIT $2", from, verifyPage)
		if err != nil {
			yield(audit.Stored{}, err)
			return
		}
		for _, h := range page {
			if !yield(h, nil) {
				return
			}
		}
		if len(page) < verifyPage {
			return
		}
		from = page[len(page)-1].Index + 1
	}
}
