package main_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// contractRequests is how many requests TestContract makes at least, and contractExamples how many of each operation in
// one pass. make contract asks for many.
var (
	contractRequests = flag.Int("contract.requests", 0, "go on with other seeds until TestContract has made so many requests")
	contractExamples = flag.Int("contract.examples", 4, "how many requests of each operation TestContract makes up in one pass, at most")
	contractSeed     = flag.Int("contract.seed", 1, "the first seed of TestContract")
)

// streams are excluded: they answer for as long as the client stays. TestEvents and its kin in internal/api are about them.
var streams = []string{"--exclude-path", "/wargaming/events", "--exclude-path", "/ws/wargaming"}

// contractLeg is one way to ask all of the API.
type contractLeg struct {
	name   string
	caller string // as hooks.py knows it
	token  string
	ab     string // "enable" or "disable" sets A/B testing first, and leaves the switch alone then
}

// TestContract: whatever is asked, the service answers as its own description says: schemathesis makes up requests from
// it, right ones and wrong ones. No fault of the service, no status, content type, header or body that isn't described,
// no request taken that the description refuses, and nobody let in who may not.
func TestContract(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("../../scripts/contract").Output()
	if err != nil {
		t.Fatalf("install schemathesis: %v\n%s", err, stderrOf(err))
	}
	c := &contract{T: t, program: strings.TrimSpace(string(out)), dir: t.TempDir()}
	c.prepare()
	unlimited := []string{"--limit-ml-first", "0", "--limit-validate", "0", "--limit-accuracy", "0", "--limit-other", "0", "--workers", "1"}
	open := serve(t, t.TempDir(), freeAddr(t), unlimited...)
	data := t.TempDir()
	operator, reader := createToken(t, data, "submit", "read", "operate"), createToken(t, data, "read")
	guarded := serve(t, data, freeAddr(t), unlimited...)
	made := func() int { return answeredBy(open) + answeredBy(guarded) }
	for seed := *contractSeed; seed == *contractSeed || made() < *contractRequests; seed++ {
		before := made()
		for _, leg := range []contractLeg{
			{name: "without tokens, A/B testing off", caller: "anybody", ab: "disable"},
			{name: "without tokens, A/B testing on", caller: "anybody", ab: "enable"},
		} {
			c.ask(open, leg, seed)
		}
		for _, leg := range []contractLeg{
			{name: "a token of all scopes", caller: "operator", token: operator},
			{name: "a token of the scope read", caller: "reader", token: reader},
			{name: "no valid token", caller: "nobody"},
		} {
			c.ask(guarded, leg, seed)
		}
		if t.Failed() || made() == before {
			break
		}
	}
	for _, s := range []*service{open, guarded} {
		if log := s.log.String(); strings.Contains(log, "request panicked") || strings.Contains(log, `"msg":"request failed"`) {
			t.Error("a request failed by a fault of the service")
		}
		if res, err := http.Get(s.base + "/health"); err != nil || res.Body.Close() != nil || res.StatusCode != http.StatusOK {
			t.Errorf("the service no longer answers: %v", err)
		}
	}
	if n := made(); n < max(300, *contractRequests) {
		t.Errorf("%d requests: this shows nothing", n)
	}
	t.Logf("%d requests", made())
}

// contract runs schemathesis.
type contract struct {
	*testing.T
	program string
	dir     string
}

// prepare lays out what schemathesis reads.
func (c *contract) prepare() {
	c.Helper()
	for _, name := range []string{"schemathesis.toml", "hooks.py"} {
		text, err := os.ReadFile(filepath.Join("testdata", "contract", name))
		if err != nil {
			c.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.dir, name), text, 0o600); err != nil {
			c.Fatal(err)
		}
	}
	injection := map[string]any{"type": "sql_injection", "severity": "high", "affected_code": "db.query('SELECT * FROM users WHERE id = ' + id)"}
	bodies, err := json.Marshal([]map[string]any{
		{"cve_id": "CVE-2024-0001", "vulnerability": injection, "patch": map[string]any{"type": "parameterized_query", "code": "db.query('SELECT * FROM users WHERE id = ?', [id])"}},
		{"cve_id": "CVE-2024-0001", "vulnerability": injection, "patch": map[string]any{"code": "db.query('SELECT * FROM users WHERE id = ' + String(id))"}},
		{"scenario_id": "app-path-traversal", "patch_diff": appScenarioPatch(c.T, "app-path-traversal", "fix.diff")},
		{"scenario_id": "app-path-traversal", "patch_diff": "--- /dev/null\n+++ b/NOTES.txt\n@@ -0,0 +1 @@\n+nothing\n"},
		{"scenario_id": "app-path-traversal", "patch_diff": "--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n"},
	})
	if err != nil {
		c.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "bodies.json"), bodies, 0o600); err != nil {
		c.Fatal(err)
	}
}

// ask makes the requests of one leg.
func (c *contract) ask(s *service, leg contractLeg, seed int) {
	c.Helper()
	args := append([]string{"run", s.base + "/openapi.json", "--seed", strconv.Itoa(seed), "--max-examples", strconv.Itoa(*contractExamples), "--no-color",
		"--phases", "examples,coverage,fuzzing", "--checks", "all", "--exclude-checks", "positive_data_acceptance"}, streams...)
	if *contractRequests == 0 {
		args = append(args, "--generation-deterministic")
		if leg.caller != "operator" { // one leg tries the bounds of every member, the others what is particular to them
			args = append(args, "--phases", "fuzzing")
		}
	}
	if leg.ab != "" {
		if status, _, v := s.call(http.MethodPost, "/wargaming/ab-testing/"+leg.ab, map[string]any{}); status != http.StatusOK {
			c.Fatalf("%s A/B testing: %d %v", leg.ab, status, v)
		}
		args = append(args, "--exclude-path", "/wargaming/ab-testing/enable", "--exclude-path", "/wargaming/ab-testing/disable")
	}
	if leg.token != "" {
		args = append(args, "--header", "Authorization: Bearer "+leg.token)
	}
	ctx, cancel := context.WithTimeout(c.Context(), 2*time.Hour)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "CRISOL_CALLER="+leg.caller, "CRISOL_BODIES="+filepath.Join(c.dir, "bodies.json"))
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.Errorf("%s, seed %d: %v\n%s", leg.name, seed, err, out)
		return
	}
	generated := regexp.MustCompile(`\d+ generated`).FindString(string(out))
	c.Logf("%s, seed %d: %s in %s", leg.name, seed, generated, time.Since(begun).Round(time.Second))
}

// answeredBy counts the requests that a service has answered, by its log.
func answeredBy(s *service) int { return strings.Count(s.log.String(), `"msg":"request",`) }

// createToken makes a token of a service before it starts.
func createToken(t *testing.T, data string, scopes ...string) string {
	t.Helper()
	args := []string{"token", "create", "tester", "--data", data}
	for _, scope := range scopes {
		args = append(args, "--scope", scope)
	}
	out, err := exec.Command(binary, args...).Output()
	if err != nil {
		t.Fatalf("create a token: %v\n%s", err, stderrOf(err))
	}
	return strings.TrimSpace(string(out))
}

// stderrOf is what a command that failed said.
func stderrOf(err error) string {
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as exec returns it
		return string(exit.Stderr)
	}
	return fmt.Sprint(err)
}
