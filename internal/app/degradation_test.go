package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/health"
	"crisol/internal/policy"
	"crisol/internal/proxytest"
	"crisol/internal/store"
	"crisol/internal/store/pgtest"
	"crisol/internal/wargame"
)

// ward is a service whose trials are scripted, and what it has promised.
type ward struct {
	*service
	n        atomic.Int64
	mu       sync.Mutex                // guards what follows
	promised map[string]crisol.Verdict // by validation id: what the verdict must be
}

// newWard starts a service whose model is sure of every patch, and whose trials refute every patch.
func newWard(t *testing.T, c app.Config) *ward {
	t.Helper()
	c.Rule, c.Data, c.Workers, c.Lease = policy.Threshold, orTemp(t, c.Data), 2, hostLease
	w := &ward{service: startWith(t, c), promised: map[string]crisol.Verdict{}}
	w.flow.Arena = scripted{w.flow.Arena, 10 * time.Millisecond}
	w.says.Store(0.95)
	return w
}

func orTemp(t *testing.T, dir string) string {
	if dir == "" {
		return t.TempDir()
	}
	return dir
}

// answer is what a caller sees.
type answer struct {
	status int
	header http.Header
	body   struct {
		ID      string `json:"validation_id"`
		Verdict crisol.Verdict
		Method  crisol.Method `json:"validation_method"`
		Reason  string        `json:"policy_reason"`
		Detail  string
		Kind    string
	}
}

// send asks about a patch that nobody asked about before, and keeps what is promised. Whatever the answer is, it is one
// that is documented.
func (w *ward) send(path string) answer {
	w.Helper()
	r := query("apv", strings.Replace(trimmed, "trim()", fmt.Sprintf("slice(0, %d)", w.n.Add(1)), 1))
	r.Wait = "0s"
	text, err := json.Marshal(r)
	if err != nil {
		w.Fatal(err)
	}
	request, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.url+path, bytes.NewReader(text))
	if err != nil {
		w.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.Errorf("no answer: %v", err)
		return answer{}
	}
	defer func() { _ = response.Body.Close() }()
	a := answer{status: response.StatusCode, header: response.Header}
	if err := json.NewDecoder(response.Body).Decode(&a.body); err != nil {
		w.Errorf("%s: %v", path, err)
	}
	w.note(path, a)
	return a
}

func (w *ward) note(path string, a answer) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	want := crisol.NotFixed // the trial's
	switch {
	case a.body.Method == crisol.MethodML && w.flow.Predictor == w.genuine:
		want = a.body.Verdict // it is what it is, and must stay
	case a.body.Method == crisol.MethodML:
		want = crisol.Fixed
	}
	switch a.status {
	case http.StatusOK:
		if a.body.Verdict != want {
			w.Errorf("%s: %+v", path, a.body)
		}
		w.promised[a.body.ID] = want
	case http.StatusAccepted:
		w.promised[a.body.ID] = crisol.NotFixed
	case http.StatusServiceUnavailable:
		if a.header.Get("Retry-After") == "" || a.body.Kind != "infrastructure" || a.header.Get("Content-Type") != "application/problem+json" {
			w.Errorf("%s: %+v", path, a)
		}
	default:
		w.Errorf("%s: %d %+v", path, a.status, a.body)
	}
}

const (
	mlFirst = "/wargaming/ml-first"
	fight   = "/wargaming/validate"
)

// report is what operators see.
func (w *ward) report() (r health.Report) {
	w.Helper()
	if status := w.ask(http.MethodGet, "/health/detailed", nil, &r); status != http.StatusOK {
		w.Fatalf("status %d", status)
	}
	return r
}

func (w *ward) part(name string) health.Part {
	w.Helper()
	for _, p := range w.report().Parts {
		if p.Name == name {
			return p
		}
	}
	w.Fatalf("there is no part %q", name)
	return health.Part{}
}

func (w *ward) breaker(name string) health.Breaker {
	w.Helper()
	for _, b := range w.report().Breakers {
		if b.Name == name {
			return b
		}
	}
	w.Fatalf("there is no breaker %q", name)
	return health.Breaker{}
}

// kept holds what the database has against what was promised: each verdict once, and none other.
func (w *ward) kept() {
	w.Helper()
	w.mu.Lock()
	promised := maps.Clone(w.promised)
	w.mu.Unlock()
	for id, want := range promised {
		var record store.Record
		var err error
		await(w.T, "the verdict of "+id+" is kept", func() bool {
			record, err = w.Store.Get(w.Context(), id)
			return err == nil && record.State == store.Finished
		})
		if err != nil || record.Verdict != want || record.Validation.Verdict != want {
			w.Errorf("%s: %s, %s, %v; promised %s", id, record.Verdict, record.Reason, err, want)
		}
	}
	w.Logf("%d promises are kept", len(promised))
}

// changes are those of a breaker, as the events tell them.
func (w *ward) changes(name string) (list []string) {
	w.Helper()
	events, err := w.Store.Events().After(w.Context(), 0, 10_000)
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range events {
		var c struct{ From, To string }
		if e.Kind != app.EventBreaker || e.Subject != name {
			continue
		}
		if err := json.Unmarshal(e.Body, &c); err != nil {
			w.Error(err)
		}
		list = append(list, c.From+" "+c.To)
	}
	return list
}

// tells waits until the events say that a breaker opened, and closed again.
func (w *ward) tells(name string) {
	w.Helper()
	await(w.T, "the events tell of the breaker", func() bool {
		changes := w.changes(name)
		return slices.Contains(changes, "closed open") && changes[len(changes)-1] == "half-open closed"
	})
}

// recovers waits until the service does all that it is for, without having been started anew.
func (w *ward) recovers() {
	w.Helper()
	await(w.T, "requests are accepted again", func() bool { return w.send(fight).status == http.StatusAccepted })
	await(w.T, "all is well", func() bool { return w.report().Status == health.Healthy })
	w.kept()
}

// outage is a fault of a database, or what is between.
type outage struct {
	// begin starts a server, and returns its address and what hurts and heals it.
	begin func(t *testing.T) (database string, hurt, heal func())
	// serves says that requests are accepted all the same, if late.
	serves bool
	// answers says that the server fails single calls, and isn't left alone.
	answers bool
}

var outages = map[string]outage{
	"killed": {begin: func(t *testing.T) (string, func(), func()) {
		s := pgtest.New(t)
		return s.Database(t), s.Kill, func() {
			if err := s.Start(); err != nil {
				t.Error(err)
			}
		}
	}},
	"frozen": {begin: func(t *testing.T) (string, func(), func()) {
		s := pgtest.New(t)
		return s.Database(t), s.Pause, s.Resume
	}},
	"slow":       {begin: behind(proxytest.Fault{Latency: 15 * time.Millisecond}), serves: true},
	"black hole": {begin: behind(proxytest.Fault{Silent: true})},
	"reset":      {begin: behind(proxytest.Fault{Reset: true})},
	"half-open": {begin: func(t *testing.T) (string, func(), func()) {
		database, p := proxied(t)
		return database, p.Forget, func() {}
	}, serves: true},
	"out of connections": {begin: crowded},
	"out of disk":        {begin: full, answers: true},
}

func proxied(t *testing.T) (string, *proxytest.Proxy) {
	database := pgtest.TCP(pgtest.Database(t))
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	p := proxytest.Start(t, u.Host)
	return strings.Replace(database, u.Host, p.Addr(), 1), p
}

func behind(f proxytest.Fault) func(*testing.T) (string, func(), func()) {
	return func(t *testing.T) (string, func(), func()) {
		database, p := proxied(t)
		return database, func() { p.Set(f) }, func() { p.Set(proxytest.Fault{}) }
	}
}

// crowded is a server whose connections somebody else takes, all of them.
func crowded(t *testing.T) (string, func(), func()) {
	s := pgtest.New(t, "max_connections=24", "superuser_reserved_connections=0")
	database := s.Database(t)
	var taken []*pgx.Conn
	leave := func() {
		for _, c := range taken {
			_ = c.Close(context.Background())
		}
		taken = nil
	}
	t.Cleanup(leave)
	return database, func() {
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
			c, err := pgx.Connect(t.Context(), database)
			if err == nil {
				taken = append(taken, c)
				continue
			}
			var left int
			if err := taken[0].QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'crisol'`).Scan(&left); err != nil {
				t.Error(err)
			}
			if left == 0 {
				return
			}
		}
		t.Error("the connections could not be taken")
	}, leave
}

// disk mounts a small disk.
func disk(t *testing.T, bytes int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "smalldisk-") // other users can't look into t.TempDir, and PostgreSQL is one
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := unix.Mount("smalldisk", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", bytes)); err != nil {
		t.Fatalf("a full disk takes a small one to be mounted, which this machine refuses (%v): run the tests as root, where mounting is allowed", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes until a disk has no room, and returns what makes room again.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size >= 1; {
		if _, err := file.Write(make([]byte, size)); errors.Is(err, unix.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	_ = file.Close()
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// full is a server whose tables lie on a disk without room.
func full(t *testing.T) (string, func(), func()) {
	dir := disk(t, 64<<20)
	tables := filepath.Join(dir, "tables")
	if err := os.Mkdir(tables, 0o755); err != nil {
		t.Fatal(err)
	}
	database := pgtest.New(t).DatabaseIn(t, tables) // of its own: others' pages would be written there too
	var empty func()
	return database, func() { empty = fill(t, dir) }, func() { empty() }
}

// TestDatabaseFaults: whatever becomes of PostgreSQL, what needs no trial is answered, what was accepted ends with its
// verdict, and the service is well again soon after the database is.
func TestDatabaseFaults(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	defer all.Wait()
	for name, o := range outages { // all at once, however few the cores: they do little but wait
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				database, hurt, heal := o.begin(t)
				w := newWard(t, app.Config{Database: database})
				if a := w.send(fight); a.status != http.StatusAccepted {
					t.Fatalf("%+v", a)
				}
				w.send(mlFirst)
				w.kept()
				hurt()
				w.suffers(o)
				heal()
				w.recovers()
				if !o.serves && !o.answers {
					w.tells("database")
				} else if changes := w.changes("database"); len(changes) > 0 && name != "half-open" {
					t.Errorf("the breaker opened: %q", changes)
				}
			})
		})
	}
}

// suffers asks while the database is out of order.
func (w *ward) suffers(o outage) {
	w.Helper()
	var callers sync.WaitGroup
	var refused, accepted atomic.Int64
	for range 4 {
		callers.Go(func() {
			for range 40 {
				if a := w.send(mlFirst); a.status != http.StatusOK || a.body.Method != crisol.MethodML {
					w.Errorf("what needs no trial is not answered: %+v", a)
				}
				switch w.send(fight).status {
				case http.StatusServiceUnavailable:
					refused.Add(1)
				case http.StatusAccepted:
					accepted.Add(1)
				}
				if refused.Load() >= 4 || o.serves && accepted.Load() >= 8 {
					return
				}
				if o.answers { // a table has room for some more rows, if its file hasn't
					w.bulky()
				}
			}
		})
	}
	callers.Wait()
	if o.serves {
		return
	}
	if refused.Load() == 0 {
		w.Errorf("nothing was refused, %d were accepted: the fault has no effect", accepted.Load())
	}
	if o.answers {
		if p := w.part("database"); p.Status != health.Healthy {
			w.Errorf("%+v", p)
		}
		return
	}
	if p := w.part("database"); p.Status != health.Unhealthy || p.LastError == "" {
		w.Errorf("%+v", p)
	}
	if status := w.ask(http.MethodGet, "/health/ready", nil, nil); status != http.StatusServiceUnavailable {
		w.Errorf("ready: %d", status)
	}
	await(w.T, "the breaker opens", func() bool { return w.breaker("database").State != "closed" })
}

// bulky asks for a trial of a patch that takes much room.
func (w *ward) bulky() {
	w.Helper()
	r := query("apv", trimmed+" // "+noise(200_000))
	r.Wait = "0s"
	var a answer
	a.status = w.ask(http.MethodPost, fight, r, &a.body)
	a.header = http.Header{"Retry-After": {"5"}, "Content-Type": {"application/problem+json"}}
	w.note(fight, a)
}

// TestSQLiteFull: a full disk refuses what can't be kept, and nothing else; with room again all goes on.
func TestSQLiteFull(t *testing.T) {
	t.Parallel()
	dir := disk(t, 64<<20)
	w := newWard(t, app.Config{Data: filepath.Join(dir, "data")})
	w.send(fight)
	w.send(mlFirst)
	w.kept()
	empty := fill(t, dir)
	refused := map[string]bool{}
	for range 100 {
		for _, path := range []string{fight, mlFirst} {
			refused[path] = refused[path] || w.send(path).status == http.StatusServiceUnavailable
		}
		if refused[fight] && refused[mlFirst] {
			break
		}
		w.bulky()
	}
	if !refused[fight] || !refused[mlFirst] {
		t.Errorf("refused: %v", refused)
	}
	if status := w.ask(http.MethodGet, "/wargaming/validations", nil, nil); status != http.StatusOK {
		t.Errorf("reading: %d", status)
	}
	if b := w.breaker("database"); b.State != "closed" {
		t.Errorf("what reads is left alone too: %+v", b)
	}
	empty()
	w.recovers()
}

// noise is text that can't be compressed.
func noise(n int) string {
	random, err := os.Open("/dev/urandom")
	if err != nil {
		panic(err)
	}
	defer func() { _ = random.Close() }()
	raw := make([]byte, n/2)
	if _, err := io.ReadFull(random, raw); err != nil {
		panic(err)
	}
	return fmt.Sprintf("%x", raw)
}

// gate is an arena whose trials last until it is opened.
type gate struct {
	scripted
	begun chan struct{}
	open  chan struct{}
}

func (g gate) Run(ctx context.Context, o wargame.Order) (wargame.Report, error) {
	g.begun <- struct{}{}
	select {
	case <-g.open:
	case <-ctx.Done():
		return wargame.Report{}, ctx.Err()
	}
	return g.scripted.Run(ctx, o)
}

// TestNoConnectionDuringTrials: a trial holds no connection, so that a single one serves all that goes on beside it.
func TestNoConnectionDuringTrials(t *testing.T) {
	t.Parallel()
	w := newWard(t, app.Config{Database: pgtest.Database(t) + " pool_max_conns=1"})
	g := gate{scripted{w.flow.Arena, time.Millisecond}, make(chan struct{}, 9), make(chan struct{})}
	w.flow.Arena = g
	for range 2 {
		if a := w.send(fight); a.status != http.StatusAccepted {
			t.Fatalf("%+v", a)
		}
		<-g.begun
	}
	await(t, "the only connection is free while two trials run", func() bool {
		p := w.Store.Pools()[0]
		return p.Max == 1 && p.Used == 0
	})
	for range 5 {
		if a := w.send(fight); a.status != http.StatusAccepted {
			t.Errorf("%+v", a)
		}
		w.send(mlFirst)
		if status := w.ask(http.MethodGet, "/wargaming/validations?state=running", nil, nil); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	close(g.open)
	w.recovers()
	for _, p := range w.report().Pools {
		if p.Name == "database" && (p.Max != 1 || p.Waits == 0) {
			t.Errorf("%+v", p)
		}
	}
}
