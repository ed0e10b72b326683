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
	"embed"
	"errors"
	"fmt"
	"log/slog"
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

// Open connects to the database of a connection string (a URL or key=value pairs, as libpq reads them; a pool's bounds
// are pool_max_conns and others of pgxpool) and brings its schema up to date.
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
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
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
	provider, err := s.provider()
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

func (s *Store) provider() (*goose.Provider, error) {
	return relational.Provider(goose.DialectPostgres, s.db, migrations)
}

// Alone runs do while no other process that shares the database runs its own: what changes tables is done by one at a
// time. The lock is held by a connection beside the pool's, which may have a single one, and goes with it.
func (s *Store) Alone(ctx context.Context, do func(context.Context) error) (err error) {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return s.fault("open", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtextextended('crisol migrate', 0))`); err != nil {
		return s.fault("open", err)
	}
	return do(ctx)
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
func (s *Store) migrate(ctx context.Context) error {
	var version string
	if err := s.db.QueryRowContext(ctx, `SHOW server_version_num`).Scan(&version); err != nil {
		return s.fault("open", err)
	}
	if n, err := strconv.Atoi(version); err != nil || n < oldest {
		return crisol.Errorf(crisol.KindInfrastructure, "open database %s: the server is PostgreSQL %s; Crisol needs %d or later", s.name, version, oldest/10000)
	}
	provider, err := s.provider()
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
