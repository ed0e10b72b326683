package relational

import (
	"context"
	"database/sql"
	"fmt"
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

// statement renders an insert of n rows.
func (t table) statement(n int) string {
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
		b.WriteString("$" + strconv.Itoa(i+1))
	}
	b.WriteString(")")
	if t.returning != "" {
		b.WriteString(" ON CONFLICT DO NOTHING RETURNING " + t.returning)
	}
	return b.String()
}

// insert inserts rows, at most some in a statement, and returns what t asks for. Statements come in few sizes, so that
// a database that keeps prepared ones keeps few.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, t table, rows [][]any) (map[string]bool, error) {
	inserted := map[string]bool{}
	for size := s.dialect.Rows; len(rows) > 0; {
		if size > len(rows) {
			size = max(1, size/4)
			continue
		}
		var args []any
		for _, row := range rows[:size] {
			args = append(args, row...)
		}
		rows = rows[size:]
		if t.returning == "" {
			if _, err := tx.ExecContext(ctx, t.statement(size), args...); err != nil {
				return nil, err
			}
			continue
		}
		if err := collect(ctx, tx, inserted, t.statement(size), args); err != nil {
			return nil, err
		}
	}
	return inserted, nil
}

func collect(ctx context.Context, tx *sql.Tx, into map[string]bool, statement string, args []any) error {
	rows, err := tx.QueryContext(ctx, statement, args...)
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
