// Package postgres keeps all that the store's contract says in a PostgreSQL database (14 or later), which any number of
// processes on any number of machines share.
//
// In goes a connection string; out comes a Store that passes the storetest suite. A commit has reached the server's disk
// before the call returns (synchronous_commit), so an accepted request survives the death of the process, of the server
// and a loss of power. The schema is migrated when the database is opened, by one process at a time; a schema from a
// newer Crisol is refused and left as it is. What is read and written stands in store/relational. The package knows
// nothing of trials.
//
//	st, err := postgres.Open(ctx, "postgres://crisol@db.example/crisol", logger)
//	if err != nil { return err }
//	defer st.Close()
//	queue, err := jobs.New(riverpgxv5.New(st.Pool()), jobs.Config{Store: st, ...})
package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"crisol"
	"crisol/internal/store"
	"crisol/internal/store/relational"
)

var _ store.Store = (*Store)(nil)

//go:embed migrations/*.sql
var migrations embed.FS

// oldest is the oldest server that Crisol is tested with, as server_version_num.
const oldest = 140000

// Store is a store.Store in a PostgreSQL database. The zero value is not usable: Open makes one.
type Store struct {
	*relational.Store
	name   string // of the server and the database, without credentials
	pool   *pgxpool.Pool
	db     *sql.DB
	logger *slog.Logger
	close  func() error
}

// Open connects to the database of a connection string (a URL or key=value pairs, as libpq reads them) and brings its
// schema up to date. The pool's bounds are pool_max_conns and others of pgxpool (see poolSize), and statement_timeout and
// idle_in_transaction_session_timeout may be given too, in milliseconds.
func Open(ctx context.Context, connection string, logger *slog.Logger) (*Store, error) {
	s, err := connect(ctx, connection, logger)
	if err != nil {
		return nil, err
	}
	if err := s.Alone(ctx, s.migrate); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Look connects to a database whose schema stays as it is: there may be none yet, or a newer one. It is for Schema and for
// nothing else that needs tables.
func Look(ctx context.Context, connection string, logger *slog.Logger) (*Store, error) {
	return connect(ctx, connection, logger)
}

// timeouts are what the server ends by itself, should a client be gone without a word: a statement, and a transaction that
// waits for its client and holds locks meanwhile. They are longer than callers wait, whose end the driver tells the server.
var timeouts = map[string]string{"statement_timeout": "20000", "idle_in_transaction_session_timeout": "30000"}

const (
	connectFor = 5 * time.Second // bounds a new connection
	keepAlive  = 15 * time.Second
	pingFor    = time.Second // bounds the look whether one that was idle still leads anywhere
)

// poolSize is how many connections a process of so many cores keeps at most: more than it can have statements running,
// since those wait for disks, and few enough that ten processes go with the hundred that PostgreSQL takes by default.
func poolSize(cores int) int32 { return int32(min(max(4*cores, 8), 32)) }

func connect(ctx context.Context, connection string, logger *slog.Logger) (*Store, error) {
	config, err := pgxpool.ParseConfig(connection)
	if err != nil {
		// The error may quote the string, and with it a password.
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "the connection string of the database can't be read"),
			"write it as postgres://user:password@host:port/database?sslmode=verify-full")
	}
	c := config.ConnConfig
	s := &Store{logger: logger, name: fmt.Sprintf("%s on %s", c.Database, address(c))}
	c.RuntimeParams["application_name"] = "crisol"
	c.RuntimeParams["synchronous_commit"] = "on"
	c.RuntimeParams["timezone"] = "UTC"
	for name, value := range timeouts {
		if _, given := c.RuntimeParams[name]; !given {
			c.RuntimeParams[name] = value
		}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectFor
	}
	config.PingTimeout = pingFor
	// One that waits for messages says nothing by itself, and would never learn that the other side is gone.
	c.DialFunc = (&net.Dialer{Timeout: c.ConnectTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive / 3, Count: 3}}).DialContext
	if given, err := pgx.ParseConfig(connection); err == nil && given.RuntimeParams["pool_max_conns"] == "" {
		config.MaxConns = poolSize(runtime.GOMAXPROCS(0))
	}
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, s.fault("open", err)
	}
	s.db = stdlib.OpenDBFromPool(s.pool)
	s.close = sync.OnceValue(s.closeAll)
	s.Store = relational.New(s.db, s.db, relational.Dialect{
		Fault: s.fault, Lock: advisory, Again: again, Rows: 64,
		Snapshot: sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
	})
	return s, nil
}

// Schema returns the version of the schema that the database has, 0 for none, and the newest that this Crisol knows.
func (s *Store) Schema(ctx context.Context) (have, newest int64, err error) {
	provider, err := relational.Provider(goose.DialectPostgres, s.db, migrations)
	if err != nil {
		return 0, 0, err
	}
	newest = relational.Newest(provider)
	var made bool
	if err := s.db.QueryRowContext(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&made); err != nil || !made {
		return 0, newest, s.fault("read schema version of", err)
	}
	have, err = provider.GetDBVersion(ctx)
	return have, newest, s.fault("read schema version of", err)
}

// Alone runs do while no other process that shares the database runs its own: what changes tables is done by one at a
// time. The lock is held by a connection beside the pool's, which may have a single one, and goes with it.
func (s *Store) Alone(ctx context.Context, do func(context.Context) error) (err error) {
	conn, err := pgx.ConnectConfig(ctx, s.patient())
	if err != nil {
		return s.fault("open", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtextextended('crisol migrate', 0))`); err != nil {
		return s.fault("open", err)
	}
	return do(ctx)
}

// patient is how connections are made on which a statement may take as long as it takes.
func (s *Store) patient() *pgx.ConnConfig {
	c := s.pool.Config().ConnConfig
	c.RuntimeParams = maps.Clone(c.RuntimeParams)
	for name := range timeouts {
		c.RuntimeParams[name] = "0"
	}
	return c
}

func address(c *pgx.ConnConfig) string {
	if strings.HasPrefix(c.Host, "/") {
		return c.Host
	}
	return fmt.Sprintf("%s:%d", c.Host, c.Port)
}

// advisory takes a lock by name until the end of the transaction.
func advisory(ctx context.Context, tx *sql.Tx, name string) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, "crisol "+name)
	return err
}

// again tells a transaction that the server ended to resolve a ring of waits. See PostgreSQL, appendix A.
func again(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01")
}

// migrate brings the schema up to date. A schema from a newer Crisol is refused untouched.
func (s *Store) migrate(ctx context.Context) (err error) {
	var version string
	if err := s.db.QueryRowContext(ctx, `SHOW server_version_num`).Scan(&version); err != nil {
		return s.fault("open", err)
	}
	if n, err := strconv.Atoi(version); err != nil || n < oldest {
		return crisol.Errorf(crisol.KindInfrastructure, "open database %s: the server is PostgreSQL %s; Crisol needs %d or later", s.name, version, oldest/10000)
	}
	db := stdlib.OpenDB(*s.patient())
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := relational.Provider(goose.DialectPostgres, db, migrations)
	if err != nil {
		return err
	}
	done, err := relational.Migrations{Provider: provider, Name: s.name, Newer: "use the newer crisol, or another database", Fault: s.fault}.Apply(ctx)
	if err != nil {
		return err
	}
	for _, m := range done {
		s.logger.InfoContext(ctx, "database migrated", "database", s.name, "version", m.Source.Version, "took", m.Duration)
	}
	return nil
}

// Pool is the pool of connections, for the job queue that shares the database.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Pools is how the pool of connections is. Those that listen for messages are beside it.
func (s *Store) Pools() []store.Pool {
	n := s.pool.Stat()
	return []store.Pool{{
		Name: "database", Max: int(n.MaxConns()), Open: int(n.TotalConns()), Used: int(n.AcquiredConns()),
		Waits: n.EmptyAcquireCount(), Waited: n.EmptyAcquireWaitTime(), GivenUp: n.CanceledAcquireCount(),
	}}
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return s.fault("ping", s.db.QueryRowContext(ctx, `SELECT 1 FROM validations UNION SELECT 1 LIMIT 1`).Scan(&one))
}

// Close closes the connections. It may be called twice.
func (s *Store) Close() error { return s.close() }

func (s *Store) closeAll() error {
	err := s.db.Close()
	s.pool.Close()
	if err != nil {
		return s.fault("close", err)
	}
	return nil
}

// Sick says of an error of a call whether the server doesn't answer, or can't serve anybody. A full disk isn't meant: what
// needs none goes on.
func Sick(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code[:min(2, len(e.Code))] {
		case "08", "57", "58", "XX": // connection, operator intervention, the system, internal
			return true
		}
		return e.Code == "53200" || e.Code == "53300" // out of memory, out of connections
	}
	var lost net.Error
	return errors.As(err, new(*pgconn.ConnectError)) || errors.As(err, &lost) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, context.DeadlineExceeded) || pgconn.SafeToRetry(err)
}

// Unsent says of an error that the server has heard nothing of the call, so that it can be made anew.
func Unsent(err error) bool { return pgconn.SafeToRetry(err) }

// fault gives an error of the database its kind, the name of the act and, where one is known, the next step.
func (s *Store) fault(act string, err error) error {
	if err == nil {
		return nil
	}
	fault := crisol.Errorf(crisol.KindInfrastructure, "%s database %s: %w", act, s.name, err)
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		if errors.As(err, new(*pgconn.ConnectError)) {
			return crisol.WithHint(fault, "is PostgreSQL running there, and does it let this machine in?")
		}
		return fault
	}
	switch e.Code {
	case "28000", "28P01": // invalid authorization, invalid password
		return crisol.WithHint(fault, "check user and password of the connection string, and the server's pg_hba.conf")
	case "3D000": // no such database
		return crisol.WithHint(fault, "create the database: createdb NAME")
	case "42501": // insufficient privilege
		return crisol.WithHint(fault, "the user must be allowed to create and change tables: make it the owner of the database")
	case "53100": // disk full
		return crisol.WithHint(fault, "the disk of the database server is full")
	case "53300": // too many connections
		return crisol.WithHint(fault, "raise the server's max_connections, or lower pool_max_conns in the connection string")
	}
	return fault
}
