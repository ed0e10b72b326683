package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"crisol"
	"crisol/internal/api/apitest"
	"crisol/internal/store"
)

const (
	serveEnv = "CRISOL_TEST_SERVE" // the directory of the database
	paceEnv  = "CRISOL_TEST_PACE"  // how long a trial takes
)

// serveUntilKilled is the service of TestKill9, in a process of its own. It prints its address, and a line for every
// trial that begins.
func serveUntilKilled(dir string) int {
	pace, err := time.ParseDuration(os.Getenv(paceEnv))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	s, err := apitest.Run(context.Background(), apitest.Flow{Runs: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		fmt.Println("trial", id)
		select {
		case <-time.After(pace):
			return apitest.Decide(crisol.NotFixed)(ctx, r, id)
		case <-ctx.Done():
			return crisol.Validation{}, ctx.Err()
		}
	}}, apitest.Config{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready", s.URL)
	select {}
}

// process is a service that can be killed.
type process struct {
	*apitest.Service
	cmd   *exec.Cmd
	lines chan string
	seen  []string // what await passed over
}

func launch(t *testing.T, dir, pace string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:gosec // this very test binary
	cmd.Env = append(os.Environ(), serveEnv+"="+dir, paceEnv+"="+pace)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, lines: make(chan string, 1000)}
	go func() {
		defer close(p.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			p.lines <- in.Text()
		}
	}()
	t.Cleanup(p.kill)
	p.Service = &apitest.Service{URL: strings.TrimPrefix(p.await(t, "ready "), "ready ")}
	return p
}

// await returns a line with a prefix: one that was passed over, or the next.
func (p *process) await(t *testing.T, prefix string) string {
	t.Helper()
	for _, line := range p.seen {
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
	for deadline := time.After(20 * time.Second); ; {
		select {
		case line, alive := <-p.lines:
			if !alive {
				t.Fatalf("the service ended before it said %q", prefix)
			}
			if strings.HasPrefix(line, prefix) {
				return line
			}
			p.seen = append(p.seen, line)
		case <-deadline:
			t.Fatalf("the service did not say %q", prefix)
		}
	}
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be dead
	_ = p.cmd.Wait()         // it says "killed"
	for range p.lines {
	}
}

// TestKill9: whatever was accepted before the process was killed, in mid-trial, has exactly one verdict in the end.
func TestKill9(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var accepted []string
	for round := range 3 {
		p := launch(t, dir, "1h")
		for n := range 4 {
			r := post(t, p.Service, with(t, "wait", "0s", "patch_id", fmt.Sprint(round, "-", n)))
			if r.StatusCode != http.StatusAccepted {
				t.Fatalf("%s: %s", r.Status, r.body)
			}
			accepted = append(accepted, r.json(t)["validation_id"].(string))
		}
		p.await(t, "trial ")
		if round == 1 { // a burst, killed while answers are on their way: who got no answer was promised nothing
			go func() {
				<-time.After(200 * time.Millisecond)
				_ = p.cmd.Process.Kill()
			}()
			for n := 0; ; n++ {
				response, err := http.Post(p.URL+"/wargaming/validate", "application/json", strings.NewReader(with(t, "wait", "0s")))
				if err != nil {
					break
				}
				var body struct {
					ID string `json:"validation_id"`
				}
				err = json.NewDecoder(response.Body).Decode(&body)
				_ = response.Body.Close()
				if err == nil && response.StatusCode == http.StatusAccepted {
					accepted = append(accepted, body.ID)
				}
			}
		}
		p.kill()
		http.DefaultClient.CloseIdleConnections()
	}
	p := launch(t, dir, "1ms")
	for _, id := range accepted {
		r := get(t, p.Service, "/wargaming/validations/"+id+"?wait=20s")
		if body := r.json(t); body["state"] != "finished" || body["verdict"] != "not_fixed" {
			t.Errorf("%s: %s", id, r.body)
		}
	}
	p.kill()
	http.DefaultClient.CloseIdleConnections()
	t.Logf("%d accepted requests over 3 kills", len(accepted))
	oneVerdictEach(t, dir, accepted)
}

// oneVerdictEach counts in the database itself.
func oneVerdictEach(t *testing.T, dir string, accepted []string) {
	t.Helper()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{Dir: dir})
	for _, id := range accepted {
		var n int
		err := s.Store.DB().QueryRowContext(t.Context(), `SELECT count(*) FROM verdicts WHERE validation_id = ?`, id).Scan(&n)
		if err != nil || n != 1 {
			t.Errorf("%s has %d verdicts, %v", id, n, err)
		}
	}
	ids, err := s.Store.Unfinished(t.Context(), "", 10)
	if err != nil || len(ids) > 0 {
		t.Errorf("left over: %v, %v", ids, err)
	}
	rows, err := s.Store.List(t.Context(), store.Filter{State: store.Finished, Limit: 10_000})
	if err != nil || len(rows) < len(accepted) {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}
