package app_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/cache/redistest"
	"crisol/internal/diff"
	"crisol/internal/policy"
	"crisol/internal/scenario"
	"crisol/internal/store/pgtest"
	"crisol/internal/store/postgres"
	"crisol/internal/validate"
	"crisol/internal/wargame"
)

// hostEnv makes the test binary a host of TestKills: a service or a worker in a process of its own.
const hostEnv = "CRISOL_TEST_HOST"

// hostConfig is what a host is started with.
type hostConfig struct {
	Data, Database, Redis string
	Addr                  string        // where a service listens; "" for a worker
	NoTrials              bool          // leaves trials to others
	Pace                  time.Duration // how long a trial takes; 0 is pace
	Sandbox               string        // in which trials are real; "" scripts them
}

// hostLease is short, so that what a dead host held is soon taken over.
const hostLease = 2 * time.Second

// pace is how long a scripted trial takes.
const pace = 60 * time.Millisecond

// scripted is an arena whose trials take a while and refute every patch, and a model that is sure of two patches in three.
type scripted struct {
	validate.Arena
	pace time.Duration
}

func (s scripted) Run(ctx context.Context, o wargame.Order) (wargame.Report, error) {
	select {
	case <-time.After(s.pace):
	case <-ctx.Done():
		return wargame.Report{}, ctx.Err()
	}
	return wargame.Report{Risk: 1, Gates: []crisol.Gate{
		o.SelfTest,
		{Name: crisol.GatePrepare, Outcome: crisol.Passed},
		{Name: crisol.GatePatchApplies, Outcome: crisol.Passed},
		{Name: crisol.GateExploitVulnerable, Outcome: crisol.Passed},
		{Name: crisol.GateExploitPatched, Outcome: crisol.Failed},
	}}, nil
}

func (scripted) SelfTest(context.Context, *scenario.Scenario, wargame.SelfTestOptions) (wargame.SelfTest, error) {
	return wargame.SelfTest{Holds: true, Cases: []wargame.SelfTestCase{{Name: "reference", Holds: true}}}, nil
}

func (scripted) Prepared(*scenario.Scenario) bool { return true }

func (scripted) Predict(_ *scenario.Scenario, files []diff.Touched) (validate.Opinion, error) {
	h := fnv.New32a()
	for _, f := range files {
		_, _ = h.Write(f.After)
	}
	p := 0.95
	if h.Sum32()%3 == 0 {
		p = 0.6
	}
	return validate.Opinion{
		Prediction:     crisol.MLPrediction{Valid: true, Probability: p, ModelVersion: "rf_v1"},
		FeatureVersion: "f", Features: func() ([]byte, error) { return []byte("{}"), nil },
	}, nil
}

// beHost runs until it is killed. It says when it is ready.
func beHost(config string) error {
	var c hostConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	ctx := context.Background()
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	a, err := app.Open(ctx, app.Config{Data: c.Data, Database: c.Database, Redis: c.Redis, Rule: policy.Threshold, Workers: 1, Lease: hostLease, NoTrials: c.NoTrials, Sandbox: c.Sandbox, Log: logger})
	if err != nil {
		return err
	}
	if c.Sandbox == "" {
		a.Flow.Arena = scripted{a.Arena, cmp.Or(c.Pace, pace)}
	}
	s, err := a.OpenService(ctx)
	if err != nil {
		return err
	}
	a.Flow.Predictor = scripted{}
	if c.Addr == "" {
		fmt.Println("ready")
		select {}
	}
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return http.Serve(listener, s.Handler()) //nolint:gosec // it serves a test, which ends it
}

// process is a host that can be killed.
type process struct {
	config hostConfig
	cmd    *exec.Cmd
	log    journal
}

// journal is what a process logged so far.
type journal struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func launch(t *testing.T, c hostConfig) *process {
	t.Helper()
	return launchAs(t, c, exec.Command(os.Args[0])) //nolint:gosec // this very test binary
}

// launchAs starts a host by a command that runs this test binary.
func launchAs(t *testing.T, c hostConfig, cmd *exec.Cmd) *process {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{config: c, cmd: cmd}
	p.cmd.Env = append(p.cmd.Environ(), hostEnv+"="+string(config))
	p.cmd.Stderr = &p.log
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of the host at %q:\n%s", c.Addr, p.log.String())
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		p.kill()
		t.Fatalf("a host ended: %q, %v\n%s", line, err, p.log.String())
	}
	return p
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be dead
	_ = p.cmd.Wait()         // it says "killed"
}

// cluster is a service and two workers that share a PostgreSQL and a Redis.
type cluster struct {
	*testing.T
	store    *postgres.Store
	server   *pgtest.Server
	redis    *redistest.Server
	addr     string // of the service, whichever process it is
	front    *process
	workers  []*process
	sent     atomic.Int64
	accepted sync.Map // id -> true
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{T: t, server: pgtest.New(t), redis: redistest.Start(t)}
	database := c.server.Database(t)
	config := func() hostConfig { return hostConfig{Data: t.TempDir(), Database: database, Redis: c.redis.URL()} }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := config()
	front.Addr = l.Addr().String()
	_ = l.Close() // the address is all that was wanted
	if c.store, err = postgres.Open(t.Context(), database, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.store.Close() })
	c.addr, c.front = front.Addr, launch(t, front)
	c.workers = []*process{launch(t, config()), launch(t, config())}
	if status, body := c.post("/wargaming/ab-testing/enable", map[string]any{"rate": 0.3}); status != http.StatusOK {
		t.Fatalf("%d %v", status, body)
	}
	return c
}

// post returns 0 where there was no answer.
func (c *cluster) post(path string, body any) (int, map[string]any) {
	text, err := json.Marshal(body)
	if err != nil {
		c.Error(err)
		return 0, nil
	}
	request, err := http.NewRequestWithContext(c.Context(), http.MethodPost, "http://"+c.addr+path, bytes.NewReader(text))
	if err != nil {
		c.Error(err)
		return 0, nil
	}
	request.Header.Set("Content-Type", "application/json")
	return c.do(request)
}

func (c *cluster) do(request *http.Request) (int, map[string]any) {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = response.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return 0, nil
	}
	return response.StatusCode, answer
}

// ask sends a request about a patch that none was sent about, one in eight for a trial, and keeps what was accepted.
func (c *cluster) ask() (int, map[string]any) {
	i := c.sent.Add(1)
	r := query(fmt.Sprint("apv-", i), strings.Replace(trimmed, "trim()", fmt.Sprintf("slice(0, %d)", i), 1))
	r.Wait = "0s"
	path := "/wargaming/ml-first"
	if i%8 == 0 {
		path = "/wargaming/validate"
	}
	status, body := c.post(path, r)
	if status == http.StatusOK || status == http.StatusAccepted {
		c.accepted.Store(body["validation_id"], true)
	}
	return status, body
}

// load sends requests, each about another patch, from several clients until so many were accepted, and calls halfway
// when half of them were. Who gets no answer, or is told that infrastructure fails, was promised nothing.
func (c *cluster) load(n int64, halfway func()) {
	c.Helper()
	var done atomic.Int64
	var clients sync.WaitGroup
	half := make(chan struct{}) // closed when half were accepted
	deadline := time.Now().Add(time.Minute)
	for range 4 {
		clients.Go(func() {
			for done.Load() < n && time.Now().Before(deadline) {
				switch status, body := c.ask(); status {
				case http.StatusOK, http.StatusAccepted:
					if done.Add(1) == n/2 {
						close(half)
					}
				case 0, http.StatusServiceUnavailable:
					time.Sleep(10 * time.Millisecond)
				default:
					c.Errorf("%d %v", status, body)
					return
				}
			}
		})
	}
	select {
	case <-half:
		halfway()
	case <-time.After(time.Until(deadline)):
	}
	clients.Wait()
	if done.Load() < n {
		c.Fatalf("%d of %d were accepted in time", done.Load(), n)
	}
}

// begun finds the validations whose trials a host began, in its log.
var begun = regexp.MustCompile(`"msg":"trial begins","validation_id":"([^"]+)"`)

// interrupt kills a worker in the midst of a trial: it freezes the worker, time and again, until what it began last is
// unfinished. It sends requests meanwhile, so that there is work.
func (c *cluster) interrupt(p *process) {
	c.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		c.ask()
		if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			c.Error(err)
			return
		}
		all := begun.FindAllStringSubmatch(p.log.String(), -1)
		if len(all) > 0 && c.one(`SELECT count(*) FROM validations WHERE id = $1 AND state = 'running'`, all[len(all)-1][1]) == 1 {
			p.kill()
			return
		}
		if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			c.Error(err)
			return
		}
	}
	c.Error("the worker was never in the midst of a trial")
}

// one reads a number.
func (c *cluster) one(query string, args ...any) (n int64) {
	c.Helper()
	if err := c.store.Pool().QueryRow(c.Context(), query, args...).Scan(&n); err != nil {
		c.Fatalf("%s: %v", query, err)
	}
	return n
}

// settle waits until nothing is left to do: in the queue, to be compared, or in the service's journal.
func (c *cluster) settle() {
	c.Helper()
	var left, unjudged, absent int64
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		left = c.one(`SELECT count(*) FROM validations WHERE state <> 'finished'`)
		unjudged = c.one(`SELECT count(*) FROM ml_ab_tests WHERE state <> 'judged'`)
		absent = 0
		c.accepted.Range(func(id, _ any) bool {
			if _, err := c.store.State(c.Context(), id.(string)); err != nil {
				absent++
			}
			return absent == 0
		})
		if left+unjudged+absent == 0 {
			return
		}
	}
	c.Fatalf("%d validations are unfinished, %d A/B tests pending, %d accepted ones absent", left, unjudged, absent)
}

// check holds the database against what was promised.
func (c *cluster) check() {
	c.Helper()
	accepted := 0
	c.accepted.Range(func(id, _ any) bool {
		accepted++
		if n := c.one(`SELECT count(*) FROM verdicts WHERE validation_id = $1`, id); n != 1 {
			c.Errorf("%s has %d verdicts", id, n)
		}
		return true
	})
	for _, rule := range []struct{ says, counts string }{
		{"verdicts of unfinished validations, or finished ones without", `SELECT count(*) FROM validations v FULL JOIN verdicts d ON d.validation_id = v.id WHERE v.id IS NULL OR (v.state = 'finished') <> (d.validation_id IS NOT NULL)`},
		{"verdicts that aren't the trial's or the model's", `SELECT count(*) FROM validations WHERE (method = 'ml') <> (verdict = 'fixed')`},
		{"validations with several A/B tests", `SELECT count(*) FROM (SELECT 1 FROM ml_ab_tests GROUP BY validation_id HAVING count(*) > 1) x`},
		{"A/B tests of no validation", `SELECT count(*) FROM ml_ab_tests t WHERE NOT EXISTS (SELECT 1 FROM validations v WHERE v.id = t.validation_id)`},
		{"predictions beside a wargame without an A/B test", `SELECT count(*) FROM validations v WHERE mode = 'ml-first' AND method <> 'ml' AND NOT EXISTS (SELECT 1 FROM ml_ab_tests t WHERE v.id = t.validation_id)`},
		{"decisions of the model that are neither compared nor counted, or both", `SELECT (SELECT count(*) FROM validations WHERE method = 'ml') - (SELECT count(*) FROM ml_ab_tests WHERE decided = 1) - (SELECT coalesce(sum(n), 0)::bigint FROM ml_unaudited)`},
		{"judged A/B tests without their one event", `SELECT count(*) FROM ml_ab_tests t WHERE decided = 1 AND 1 <> (SELECT count(*) FROM events e WHERE e.kind = 'ab_test_judged' AND e.subject = t.id)`},
		{"validations without their one event", `SELECT count(*) FROM validations v WHERE 1 <> (SELECT count(*) FROM events e WHERE e.kind = 'validation_finished' AND e.subject = v.id)`},
	} {
		if n := c.one(rule.counts); n != 0 {
			c.Errorf("%d %s", n, rule.says)
		}
	}
	tests := c.one(`SELECT count(*) FROM ml_ab_tests`)
	if rows, err := c.store.ABTests().Judged(c.Context(), 0, 10_000); err != nil || int64(len(rows)) != tests {
		c.Errorf("%d judged rows in order of %d, %v", len(rows), tests, err)
	}
	c.Logf("%d accepted, %d A/B tests, %d tried more than once", accepted, tests, c.one(`SELECT count(*) FROM validations WHERE attempts > 1`))
}

// TestKills: whatever is killed in the midst of work, every request that was accepted ends with one verdict, and no A/B
// test is lost or doubled. Trials and the model are scripted, all else is real.
func TestKills(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const n = 60
	for _, phase := range []struct {
		name string
		kill func()
	}{
		{"service", func() {
			c.front.kill()
			c.front = launch(t, c.front.config)
		}},
		{"worker", func() {
			c.interrupt(c.workers[0])
			c.settle() // the others take over
			c.workers[0] = launch(t, c.workers[0].config)
		}},
		{"postgres", func() {
			c.server.Kill()
			if err := c.server.Start(); err != nil {
				t.Error(err)
			}
		}},
		{"redis", func() {
			c.redis.Kill()
			time.Sleep(200 * time.Millisecond)
			if err := c.redis.Restart(); err != nil {
				t.Error(err)
			}
		}},
	} {
		begun := time.Now()
		c.load(n, phase.kill)
		c.settle()
		c.check()
		t.Logf("%s was killed and all is well after %s", phase.name, time.Since(begun).Round(time.Millisecond))
		if t.Failed() {
			t.Fatalf("after the %s was killed", phase.name)
		}
	}
	if c.one(`SELECT count(*) FROM ml_ab_tests WHERE decided = 1`) == 0 || c.one(`SELECT count(*) FROM validations WHERE attempts > 1`) == 0 {
		t.Error("no decision of the model was compared, or no trial was interrupted: this shows nothing")
	}
}
