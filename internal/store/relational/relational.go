// Package relational keeps what the store's contract says in a relational database, in the SQL that SQLite and
// PostgreSQL share.
//
// In go a connection pool for writing and one for reading, and what differs between databases (Dialect); out comes a
// store but for opening and migrating it, which is for store/sqlite and store/postgres. Queries stand in queries.sql and
// are checked by sqlc against the schema of store/postgres, which that of store/sqlite mirrors.
//
// SQLite takes one writer at a time; on PostgreSQL transactions run beside each other at the level "read committed". So
// every statement here says itself what it supposes of a row (a state, a fence, an attempt), and looks at the count of
// rows that it changed. Transactions take locks in one order, so that none waits in a ring: a validation, the sequence
// of judgements, A/B tests, rollups, counts, the sequence of events, deliveries.
package relational

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"crisol"
	"crisol/internal/store"
	"crisol/internal/store/relational/queries"
)

//go:generate go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate

// Dialect is what differs between databases.
type Dialect struct {
	// Fault gives an error of the database its kind and the name of the act, which reads "accept into" and goes before
	// the name of the database.
	Fault func(act string, err error) error
	// Lock makes other transactions that ask for the same name wait until this one ends; nil where there is one writer
	// at a time anyway.
	Lock func(ctx context.Context, tx *sql.Tx, name string) error
	// Snapshot are the options of a transaction that reads several rows as of one moment.
	Snapshot sql.TxOptions
	// Again tells that the database ended a transaction without a fault of ours, and that it may be made anew; nil where
	// that can't happen.
	Again func(err error) bool
	// Rows is how many rows are inserted by one statement at most.
	Rows int
	// Prepare keeps the statements that insert rows prepared: it pays where the driver does not do so itself.
	Prepare bool
}

// Guard stands before calls of the database: it may refuse one, bound its time and learn from its error
// (resilience.Guard).
type Guard interface {
	Do(ctx context.Context, call func(context.Context) error) error
}

// Store is a store.Store but for Ping and Close.
type Store struct {
	write, read    *sql.DB
	writer, reader Guard // nil: none
	dialect        Dialect

	mu       sync.Mutex         // guards what follows
	prepared map[string]inserts // by table; closed with the pool
}

// New makes a Store over a pool for writing and one for reading, which may be the same.
func New(write, read *sql.DB, d Dialect) *Store {
	return &Store{write: write, read: read, dialect: d, prepared: map[string]inserts{}}
}

// Guard has a guard stand before what writes, and one before what reads; each call is one transaction, or one query. It
// must be called before the store is used. What opens, migrates, pings and closes the database goes past them.
func (s *Store) Guard(writer, reader Guard) { s.writer, s.reader = writer, reader }

func through(ctx context.Context, g Guard, call func(context.Context) error) error {
	if g == nil {
		return call(ctx)
	}
	return g.Do(ctx, call)
}

// look reads.
func (s *Store) look(ctx context.Context, do func(ctx context.Context, q *queries.Queries) error) error {
	return through(ctx, s.reader, func(ctx context.Context) error { return do(ctx, queries.New(s.read)) })
}

// ask reads by one query.
func ask[P, R any](ctx context.Context, s *Store, query func(*queries.Queries, context.Context, P) (R, error), p P) (rows R, err error) {
	err = s.look(ctx, func(ctx context.Context, q *queries.Queries) (err error) {
		rows, err = query(q, ctx, p)
		return err
	})
	return rows, err
}

// none is what a query without parameters takes.
type none struct{}

func plain[R any](query func(*queries.Queries, context.Context) (R, error)) func(*queries.Queries, context.Context, none) (R, error) {
	return func(q *queries.Queries, ctx context.Context, _ none) (R, error) { return query(q, ctx) }
}

// order changes rows by one statement.
func order[P, R any](ctx context.Context, s *Store, query func(*queries.Queries, context.Context, P) (R, error), p P) (rows R, err error) {
	err = through(ctx, s.writer, func(ctx context.Context) (err error) {
		rows, err = query(queries.New(s.write), ctx, p)
		return err
	})
	return rows, err
}

// attempts bounds how often a transaction that the database ended is made anew.
const attempts = 5

// change runs do in one transaction. It may run do several times, so do must set what it returns anew each time.
func (s *Store) change(ctx context.Context, act string, do func(ctx context.Context, tx *sql.Tx, q *queries.Queries) error) error {
	for n := 1; ; n++ {
		err := through(ctx, s.writer, func(ctx context.Context) error { return s.once(ctx, do) })
		if err == nil || n == attempts || s.dialect.Again == nil || !s.dialect.Again(err) {
			return s.fault(act, err)
		}
	}
}

func (s *Store) once(ctx context.Context, do func(ctx context.Context, tx *sql.Tx, q *queries.Queries) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing; before, the first error is the one to tell
	if err := do(ctx, tx, queries.New(tx)); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// lock waits until no other transaction holds the name.
func (s *Store) lock(ctx context.Context, tx *sql.Tx, name string) error {
	if s.dialect.Lock == nil {
		return nil
	}
	return s.dialect.Lock(ctx, tx, name)
}

// fault tells errors of the contract, which pass as they are, from those of the database.
func (s *Store) fault(act string, err error) error {
	if err == nil {
		return nil
	}
	if e := (*crisol.Error)(nil); errors.As(err, &e) {
		return err // said by the contract, or here
	}
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	return s.dialect.Fault(act, err)
}

// named says of what kind of row there is none.
func named(err error, what, id string) error {
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, store.ErrNotFound) {
		return store.NotFound(what, id)
	}
	return err
}

// missing tells the damage that a part of a row is gone from the case that there is no such row.
func missing(part, id string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("the %s of validation %s is missing", part, id)
	}
	return err
}

func decode(body string, into any, id string) error {
	if err := json.Unmarshal([]byte(body), into); err != nil {
		return fmt.Errorf("decode %s: %w", id, err)
	}
	return nil
}

// encode renders what Check has shown to be writable, or says what is not.
func encode(v any, id string) (string, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return "", crisol.Errorf(crisol.KindInternal, "encode %s: %w", id, err)
	}
	return string(body), nil
}

// text makes a string one that every database can hold: PostgreSQL refuses a NUL and broken UTF-8.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// micros and instant turn times into the database's form and back; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// hour is the start of a time's hour, in UTC.
func hour(t time.Time) int64 { return micros(t.UTC().Truncate(time.Hour)) }

// until is the end of a range of times, the end of time for none.
func until(t time.Time) int64 {
	if t.IsZero() {
		return 1<<63 - 1
	}
	return t.UnixMicro()
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
