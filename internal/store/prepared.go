package store

import (
	"context"
	"database/sql"
	"sync"
)

// prepared is the writer's connection. It keeps the statements that it ran,
// since reading the SQL of a small write costs SQLite as much as the write. The
// driver of PostgreSQL keeps them by itself.
type prepared struct {
	*sql.Conn
	keep bool
	kept map[string]*sql.Stmt
}

// mostKept bounds the statements kept, and mostArgs what they take: a statement
// that names as many things as there are is another one each time.
const (
	mostKept = 256
	mostArgs = 24
)

// statement gives a kept statement, nil when it is not to be kept. They end
// with the connection.
func (p *prepared) statement(ctx context.Context, query string, args []any) (*sql.Stmt, error) {
	known, ok := p.kept[query]
	if ok || !p.keep || len(args) > mostArgs || len(p.kept) == mostKept {
		return known, nil
	}
	s, err := p.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if p.kept == nil {
		p.kept = map[string]*sql.Stmt{}
	}
	p.kept[query] = s
	return s, nil
}

func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := p.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return p.Conn.ExecContext(ctx, query, args...)
	}
	return s.ExecContext(ctx, args...)
}

// QueryRowContext is read and closed at once. The rows of QueryContext, which
// is left as it is, stay open while the same query may be asked again.
func (p *prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := p.statement(ctx, query, args)
	if err != nil || s == nil {
		return p.Conn.QueryRowContext(ctx, query, args...) // which says what is wrong
	}
	return s.QueryRowContext(ctx, args...)
}

// readers is the pool that reads. Of the queries for one row, which are those
// asked again and again, it keeps the statements; database/sql prepares each on
// the connections where it is used.
type readers struct {
	*sql.DB
	keep bool

	mu   sync.RWMutex
	kept map[string]*sql.Stmt
}

func (r *readers) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if s := r.statement(ctx, query, args); s != nil {
		return s.QueryRowContext(ctx, args...)
	}
	return r.DB.QueryRowContext(ctx, query, args...)
}

// statement gives a kept statement; nil when it is not to be kept, or wrong,
// which running the query says better.
func (r *readers) statement(ctx context.Context, query string, args []any) *sql.Stmt {
	r.mu.RLock()
	s, full := r.kept[query], len(r.kept) >= mostKept
	r.mu.RUnlock()
	if s != nil || !r.keep || len(args) > mostArgs || full {
		return s
	}
	s, err := r.PrepareContext(ctx, query)
	if err != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if first := r.kept[query]; first != nil {
		_ = s.Close() // somebody else was first
		return first
	}
	if r.kept == nil {
		r.kept = map[string]*sql.Stmt{}
	}
	r.kept[query] = s
	return s
}
