// Package sqlite keeps all that the store's contract says in one SQLite file: the store of the embedded default.
//
// In goes the path of the file, which one process at a time may own; out comes a Store that passes the storetest
// suite. A commit reaches the disk before the call returns (write-ahead log, synchronous=FULL), so an accepted request
// survives the death of the process and a loss of power. The schema is migrated when the file is opened; a file that
// is damaged, foreign or from a newer Crisol is refused and left as it is. What is read and written stands in
// store/relational. The package knows nothing of trials.
//
//	st, err := sqlite.Open(ctx, filepath.Join(dataDir, "crisol.db"), logger)
//	if err != nil { return err }
//	defer st.Close()
//	queue, err := jobs.New(riversqlite.New(st.DB()), jobs.Config{Store: st, Sole: true, ...})
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", in pure Go: Crisol stays one static binary

	"crisol"
	"crisol/internal/store"
	"crisol/internal/store/relational"
)

var _ store.Store = (*Store)(nil)

// applicationID marks a file as Crisol's ("CRSL"), so that another program's database is never migrated by mistake.
const applicationID = 0x4352534c

// checkFor bounds the integrity check of Open: a big history must not hold up the start.
const checkFor = 2 * time.Second

// Store is a store.Store in one SQLite file. The zero value is not usable: Open makes one.
type Store struct {
	*relational.Store
	path   string
	logger *slog.Logger
	lock   *os.File
	// write has a single connection: SQLite takes one writer at a time, and a queue in Go is fairer than its busy
	// handler. read has several, which never wait for a writer.
	write, read *sql.DB
	close       func() error
}

// Open opens or creates the database at path and takes it for this process alone until Close. The directory is
// created when it is missing.
func Open(ctx context.Context, path string, logger *slog.Logger) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "open database: %w", err)
	}
	s := &Store{path: path, logger: logger}
	s.close = sync.OnceValue(s.closeAll)
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := s.claim(); err != nil {
		return err
	}
	var err error
	if s.write, err = sql.Open("sqlite", dsn(s.path, "rwc")); err != nil {
		return s.fault("open", err)
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", dsn(s.path, "ro")); err != nil {
		return s.fault("open", err)
	}
	readers := max(4, runtime.GOMAXPROCS(0))
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	// Rows: a bigger statement is not faster where there is no round trip to save.
	s.Store = relational.New(s.write, s.read, relational.Dialect{Fault: s.fault, Rows: 16, Prepare: true})
	if err := s.inspect(ctx); err != nil {
		return err
	}
	return s.migrate(ctx)
}

// dsn renders a data source: every pragma is set on every connection, and every transaction that may write takes the
// write lock at its start, where waiting for it is still possible.
func dsn(path, mode string) string {
	q := url.Values{"mode": {mode}, "_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(10000)", "foreign_keys(1)", "synchronous(FULL)",
	}}
	if mode == "ro" {
		q.Add("_pragma", "query_only(1)")
		q.Set("_txlock", "deferred")
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// claim makes the directory and the file, both for the owner only (patches may be under embargo), and locks a file
// beside it. The lock goes with the process, however it ends.
func (s *Store) claim() error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return s.unusable(err)
	}
	lock, err := os.OpenFile(s.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return s.unusable(err)
	}
	s.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure,
				"open database %s: another process is using it", s.path),
				"stop the other crisol, or choose another directory with --data")
		}
		return s.unusable(err)
	}
	file, err := os.OpenFile(s.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return s.unusable(err)
	}
	return file.Close()
}

func (s *Store) unusable(err error) error {
	return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "open database %s: %w", s.path, err),
		"make %s writable, or choose another directory with --data", filepath.Dir(s.path))
}

// inspect refuses a file that isn't ours or is damaged, before anything is written to it.
func (s *Store) inspect(ctx context.Context) error {
	var application, tables int64
	row := s.write.QueryRowContext(ctx, `SELECT a.application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id AS a`)
	if err := row.Scan(&application, &tables); err != nil {
		return s.fault("open", err)
	}
	if tables > 0 && application != applicationID {
		return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure,
			"open database %s: it belongs to another program (application id %#x)", s.path, application),
			"choose another directory with --data")
	}
	return s.checkIntegrity(ctx, checkFor)
}

// checkIntegrity looks for damage for as long as the bound allows. What it could not reach in time shows up as an
// error when it is read.
func (s *Store) checkIntegrity(ctx context.Context, bound time.Duration) error {
	within, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	var found string
	err := s.write.QueryRowContext(within, `PRAGMA quick_check(1)`).Scan(&found)
	switch {
	case within.Err() != nil && ctx.Err() == nil:
		s.logger.InfoContext(ctx, "database too big to be checked at start", "path", s.path, "bound", bound)
		return nil
	case err != nil:
		return s.fault("check", err)
	case found != "ok":
		return s.damaged("check", errors.New(found))
	}
	return nil
}

// DB is the connection pool for writing, for the job queue that shares the file. It has a single connection: whoever
// holds a transaction on it must not ask it for another.
func (s *Store) DB() *sql.DB { return s.write }

// Pools is how the connections are that write, of which there is one, and those that read.
func (s *Store) Pools() []store.Pool {
	var list []store.Pool
	for name, db := range map[string]*sql.DB{"database/write": s.write, "database/read": s.read} {
		n := db.Stats()
		list = append(list, store.Pool{Name: name, Max: n.MaxOpenConnections, Open: n.OpenConnections, Used: n.InUse, Waits: n.WaitCount, Waited: n.WaitDuration})
	}
	slices.SortFunc(list, func(a, b store.Pool) int { return strings.Compare(b.Name, a.Name) })
	return list
}

// Path is where the database lies.
func (s *Store) Path() string { return s.path }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return s.fault("ping", s.read.QueryRowContext(ctx, `SELECT 1 FROM validations UNION SELECT 1 LIMIT 1`).Scan(&one))
}

// Close closes the database and gives it free for other processes. It may be called twice.
func (s *Store) Close() error { return s.close() }

func (s *Store) closeAll() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} { // the writer last: it folds the write-ahead log into the file
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return s.fault("close", err)
	}
	return nil
}
