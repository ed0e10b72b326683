package relational

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// table is a table as rows are inserted into it in bulk. One round trip for many rows is what makes Record cheap on a
// database across a network.
type table struct {
	name    string
	columns []string
	// returning, where set, is a column whose values are returned of the rows that were inserted; rows that were there
	// already are left out then, and are an error otherwise.
	returning string
}

// statement renders an insert of n rows. Where statements are prepared, parameters have no numbers: SQLite looks numbers
// up as if they were names.
func (t table) statement(n int, numbered bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES ", t.name, strings.Join(t.columns, ", "))
	for i := range n * len(t.columns) {
		switch column := i % len(t.columns); {
		case column > 0:
			b.WriteString(", ")
		case i > 0:
			b.WriteString("), (")
		default:
			b.WriteString("(")
		}
		if numbered {
			b.WriteString("$" + strconv.Itoa(i+1))
		} else {
			b.WriteString("?")
		}
	}
	b.WriteString(")")
	if t.returning != "" {
		b.WriteString(" ON CONFLICT DO NOTHING RETURNING " + t.returning)
	}
	return b.String()
}

// inserts are the statements that insert rows into a table, by their number of rows. They come in few sizes, so that
// few are kept prepared.
type inserts map[int]*sql.Stmt

// sizes are the numbers of rows that a statement may have, the greatest first.
func (s *Store) sizes() (sizes []int) {
	for n := s.dialect.Rows; n > 0; n /= 4 {
		sizes = append(sizes, n)
	}
	if sizes[len(sizes)-1] != 1 {
		sizes = append(sizes, 1)
	}
	return sizes
}

// prepare makes the statements ready where they are to be prepared, once. It must not be called in a transaction, which
// holds the only connection that writes.
func (s *Store) prepare(ctx context.Context, tables ...table) error {
	if !s.dialect.Prepare {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tables {
		if s.prepared[t.name] != nil {
			continue
		}
		all := inserts{}
		for _, n := range s.sizes() {
			statement, err := s.write.PrepareContext(ctx, t.statement(n, false)) //nolint:sqlclosecheck // kept until the pool is closed
			if err != nil {
				return err
			}
			all[n] = statement
		}
		s.prepared[t.name] = all
	}
	return nil
}

// run inserts n rows by one statement.
func (s *Store) run(ctx context.Context, tx *sql.Tx, t table, n int, args []any) (*sql.Rows, error) {
	if !s.dialect.Prepare {
		return tx.QueryContext(ctx, t.statement(n, true), args...)
	}
	s.mu.Lock()
	statement := s.prepared[t.name][n]
	s.mu.Unlock()
	return tx.StmtContext(ctx, statement).QueryContext(ctx, args...) //nolint:sqlclosecheck // it ends with tx
}

// insert inserts rows and returns what t asks for.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, t table, rows [][]any) (map[string]bool, error) {
	returned := map[string]bool{}
	for _, n := range s.sizes() {
		for len(rows) >= n {
			args := slices.Concat(rows[:n]...)
			rows = rows[n:]
			if err := s.collect(ctx, tx, t, n, args, returned); err != nil {
				return nil, err
			}
		}
	}
	return returned, nil
}

func (s *Store) collect(ctx context.Context, tx *sql.Tx, t table, n int, args []any, into map[string]bool) error {
	rows, err := s.run(ctx, tx, t, n, args)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		into[id] = true
	}
	return rows.Err()
}
