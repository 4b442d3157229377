package store

import (
	"context"
	"database/sql"
)

// prepared is the writer's connection. It keeps the statements that it ran,
// since reading the SQL of a small write costs SQLite as much as the write. The
// driver of PostgreSQL keeps them by itself.
type prepared struct {
	*sql.Conn
	keep bool
	kept map[string]*sql.Stmt
}

// mostKept bounds the statements kept: some name as many things as there are.
const mostKept = 256

// statement gives a kept statement, nil when it is not to be kept. They end
// with the connection.
func (p *prepared) statement(ctx context.Context, query string, args []any) (*sql.Stmt, error) {
	known, ok := p.kept[query]
	if ok || !p.keep || len(args) == 0 || len(p.kept) == mostKept {
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
