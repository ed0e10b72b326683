package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"crisol"
	"crisol/internal/store"
	"crisol/internal/store/pgtest"
	"crisol/internal/store/postgres"
	"crisol/internal/store/storetest"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m.Run)
	if err := goleak.Find(); code == 0 && err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	os.Exit(code)
}

func open(t *testing.T, connection string) *postgres.Store {
	t.Helper()
	st, err := postgres.Open(t.Context(), connection, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Adapter{
		Open: func(t *testing.T) store.Store { return open(t, pgtest.Database(t)) },
		Reopen: func(t *testing.T, s store.Store) store.Store {
			st := s.(*postgres.Store)
			connection := st.Pool().Config().ConnString()
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, connection)
		},
	})
}

func refuse(t *testing.T, connection, message, hint string) {
	t.Helper()
	st, err := postgres.Open(t.Context(), connection, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatalf("opened: %v", st.Close())
	}
	if !strings.Contains(err.Error(), message) || !strings.Contains(crisol.HintOf(err), hint) {
		t.Errorf("error %q (hint %q) lacks %q or %q", err, crisol.HintOf(err), message, hint)
	}
	if said := err.Error() + crisol.HintOf(err); strings.Contains(said, "geheim") {
		t.Errorf("the error tells the password: %s", said)
	}
}

func TestRefuses(t *testing.T) {
	connection := pgtest.Database(t)
	tcp := pgtest.TCP(connection)
	refuse(t, "postgres://crisol:geheim@%zz", "can't be read", "postgres://")
	refuse(t, strings.Replace(tcp, ":crisol@", ":geheim@", 1), "password authentication failed", "user and password")
	refuse(t, tcp+"_none", "does not exist", "createdb")
	refuse(t, "postgres://crisol:geheim@127.0.0.1:1/crisol", "127.0.0.1:1", "is PostgreSQL running there")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if st, err := postgres.Open(ctx, connection, slog.New(slog.DiscardHandler)); err == nil {
		t.Errorf("opened though called off: %v", st.Close())
	}
	st := open(t, tcp)
	if _, err := st.Pool().Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`); err != nil {
		t.Fatal(err)
	}
	refuse(t, connection, "schema 9999 is from a newer crisol", "newer crisol")
}

// TestOpenAtOnce: processes that start together on an empty database make its schema once.
func TestOpenAtOnce(t *testing.T) {
	connection := pgtest.Database(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			st, err := postgres.Open(t.Context(), connection, slog.New(slog.DiscardHandler))
			if err == nil {
				err = errors.Join(st.Ping(t.Context()), st.Close(), st.Close())
			}
			if err != nil {
				t.Errorf("open: %v", err)
			}
		})
	}
	all.Wait()
}

// TestDurable reads back what a connection does at each commit.
func TestDurable(t *testing.T) {
	st := open(t, pgtest.Database(t))
	for setting, want := range map[string]string{"synchronous_commit": "on", "fsync": "on", "full_page_writes": "on"} {
		var got string
		if err := st.Pool().QueryRow(t.Context(), "SHOW "+setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", setting, got, err, want)
		}
	}
}

// TestFrozenServer: a server that doesn't answer costs a caller its deadline, and nothing more.
func TestFrozenServer(t *testing.T) {
	server := pgtest.New(t)
	st := open(t, server.Database(t))
	s := storetest.Submission(1)
	if err := st.Accept(t.Context(), s, 9); err != nil {
		t.Fatal(err)
	}
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := st.Get(ctx, s.ID); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Errorf("get: %v", err)
	}
	server.Resume()
	if _, err := st.Get(t.Context(), s.ID); err != nil {
		t.Errorf("get afterwards: %v", err)
	}
}

// TestSurvivesKill kills the server, and stops it, under those who write. What a call said was kept is there, once, and
// numbers have no gaps; what a call could not tell is made again, and comes to the same.
func TestSurvivesKill(t *testing.T) {
	server := pgtest.New(t)
	st := open(t, server.Database(t))
	var over atomic.Bool
	var writing sync.WaitGroup
	kept := make([][]store.Entry, 4)
	progress := make(chan struct{}, 1) // holds one that may be from before a kill
	for w := range kept {
		writing.Go(func() {
			for n := 0; !over.Load(); n++ {
				e := entry(n)
				for st.Record(context.WithoutCancel(t.Context()), []store.Entry{e}) != nil { // until it is told
					time.Sleep(5 * time.Millisecond)
				}
				kept[w] = append(kept[w], e)
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	for _, end := range []func(){server.Kill, server.Stop} {
		for range 20 {
			<-progress
		}
		end()
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	over.Store(true)
	writing.Wait()
	var entries []store.Entry
	for _, list := range kept {
		entries = append(entries, list...)
	}
	if len(entries) < 10 {
		t.Fatalf("only %d entries were recorded", len(entries))
	}
	check(t, st, entries)
}

// entry is an answer with a test that is judged already, an event and a count.
func entry(n int) store.Entry {
	s := storetest.Submission(n)
	v := storetest.Validation(s, crisol.Fixed)
	test := storetest.Judged(storetest.ABTest(n, crisol.Fixed), crisol.Fixed)
	test.ValidationID = s.ID
	return store.Entry{Submission: s, Validation: &v, FinishedAt: s.CreatedAt, ABTest: &test,
		Unaudited: &store.Count{Hour: test.JudgedAt, ModelVersion: "m"}, Events: []store.Event{{At: s.CreatedAt, Kind: "k", Subject: s.ID}}}
}

func check(t *testing.T, st store.Store, entries []store.Entry) {
	t.Helper()
	ctx, want := t.Context(), int64(len(entries))
	for _, e := range entries {
		record, err := st.Get(ctx, e.Submission.ID)
		if err != nil || record.State != store.Finished {
			t.Fatalf("%s: %v, %v", e.Submission.ID, record.State, err)
		}
	}
	tests, err := st.ABTests().Judged(ctx, 0, len(entries)+1)
	if err != nil || int64(len(tests)) != want || tests[want-1].JudgedSeq != want {
		t.Errorf("%d A/B tests, %v; want %d, numbered without gaps", len(tests), err, want)
	}
	counts, err := st.Counters().Range(ctx, time.Time{}, time.Time{}, "m")
	if err != nil || len(counts) != 1 || counts[0].N != want {
		t.Errorf("counts %v, %v; want %d", counts, err, want)
	}
	events, err := st.Events().After(ctx, 0, len(entries)+1)
	if err != nil || int64(len(events)) != want || events[want-1].ID != want {
		t.Errorf("%d events, %v; want %d, numbered without gaps", len(events), err, want)
	}
	confusion, err := st.Accuracy().Confusion(ctx, store.ConfusionFilter{})
	if err != nil || confusion.Counts.TruePositive != want {
		t.Errorf("%+v, %v", confusion.Counts, err)
	}
}

// TestPoolSize: it comes from the cores, within limits, unless the connection string says it.
func TestPoolSize(t *testing.T) {
	connection := pgtest.Database(t)
	if n := open(t, connection).Pools()[0].Max; n < 8 || n > 32 || n < min(4*runtime.GOMAXPROCS(0), 32) {
		t.Errorf("%d connections for %d cores", n, runtime.GOMAXPROCS(0))
	}
	for _, said := range []string{connection + " pool_max_conns=3", pgtest.TCP(connection) + "?pool_max_conns=3"} {
		if n := open(t, said).Pools()[0].Max; n != 3 {
			t.Errorf("%d connections where %q says 3", n, said)
		}
	}
}

// TestPoolWaits: who waits for a connection is counted, and so is who leaves without one.
func TestPoolWaits(t *testing.T) {
	st := open(t, pgtest.Database(t)+" pool_max_conns=1")
	held, err := st.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	within, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := st.Ping(within); err == nil {
		t.Error("there was a second connection")
	}
	before := st.Pools()[0]
	pinged := make(chan error)
	go func() { pinged <- st.Ping(t.Context()) }()
	time.AfterFunc(20*time.Millisecond, held.Release)
	if err := <-pinged; err != nil {
		t.Error(err)
	}
	if after := st.Pools()[0]; before.Used != 1 || before.GivenUp != 1 || after.Waits <= before.Waits || after.Waited <= before.Waited {
		t.Errorf("%+v, then %+v", before, after)
	}
}

// TestStatementEnds: a statement whose caller gives up ends at the server too, and so does one that nobody calls off.
func TestStatementEnds(t *testing.T) {
	connection := pgtest.Database(t)
	watch := open(t, connection)
	sleeping := func() (n int) {
		t.Helper()
		if err := watch.Pool().QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' AND datname = current_database()`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { _, err := watch.Pool().Exec(ctx, `SELECT pg_sleep(600)`); ended <- err }()
	for range 1000 {
		if sleeping() == 1 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for range 1000 {
		if sleeping() == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := sleeping(); n != 0 {
		t.Error("the statement goes on at the server")
	}
	hasty := open(t, connection+" statement_timeout=50")
	if _, err := hasty.Pool().Exec(t.Context(), `SELECT pg_sleep(600)`); !postgres.Sick(err) {
		t.Errorf("a statement that took too long: %v", err)
	}
	var limit string
	if err := watch.Pool().QueryRow(t.Context(), `SHOW statement_timeout`).Scan(&limit); err != nil || limit != "20s" {
		t.Errorf("%q, %v", limit, err)
	}
}

// TestSick: what shows that the server can't serve, and what only shows that it answers.
func TestSick(t *testing.T) {
	for code, want := range map[string]bool{"08006": true, "57P01": true, "57014": true, "58030": true, "XX000": true, "53300": true, "53200": true,
		"53100": false, "23505": false, "40001": false, "42P01": false, "22P02": false, "": false} {
		if got := postgres.Sick(fmt.Errorf("x: %w", &pgconn.PgError{Code: code})); got != want {
			t.Errorf("%s: %v", code, got)
		}
	}
	for err, want := range map[error]bool{io.ErrUnexpectedEOF: true, driver.ErrBadConn: true, &net.OpError{Err: errors.New("reset")}: true, sql.ErrNoRows: false, store.ErrFull: false} {
		if got := postgres.Sick(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
	st, err := postgres.Look(t.Context(), "postgres://crisol@127.0.0.1:1/crisol", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Ping(t.Context()); !postgres.Sick(err) || postgres.Unsent(io.EOF) {
		t.Errorf("nobody listens there: %v", err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}
