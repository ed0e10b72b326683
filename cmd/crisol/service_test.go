package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// freeAddr finds a loopback address that nothing listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// service is a `crisol serve` under test.
type service struct {
	t    *testing.T
	cmd  *exec.Cmd
	base string
	log  *safeBuffer
}

// safeBuffer is a buffer that may be read while a process writes to it.
type safeBuffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *safeBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// serve starts the service and waits until it answers.
func serve(t *testing.T, data, addr string, args ...string) *service {
	t.Helper()
	s := &service{t: t, base: "http://" + addr, log: &safeBuffer{}}
	s.cmd = exec.Command(binary, append([]string{"serve", "--addr", addr, "--data", data}, args...)...)
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		if t.Failed() {
			t.Logf("log of the service:\n%s", s.log)
		}
	})
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if res, err := http.Get(s.base + "/health"); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return s
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the service does not answer:\n%s", s.log)
	return nil
}

// call sends a request and decodes the JSON answer.
func (s *service) call(method, path string, body any) (int, http.Header, map[string]any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequest(method, s.base+path, bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var decoded map[string]any
	if err := json.Unmarshal(answer, &decoded); err != nil {
		s.t.Fatalf("%s %s answered %d %q: %v", method, path, res.StatusCode, answer, err)
	}
	return res.StatusCode, res.Header, decoded
}

// finished waits until a validation has its verdict.
func (s *service) finished(id string) map[string]any {
	s.t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for time.Now().Before(deadline) {
		status, _, v := s.call(http.MethodGet, "/wargaming/validations/"+id, nil)
		if status != http.StatusOK {
			s.t.Fatalf("validation %s: %d %v", id, status, v)
		}
		if v["verdict"] != nil && v["verdict"] != "" {
			return v
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Fatalf("validation %s has no verdict", id)
	return nil
}

func appScenarioPatch(t *testing.T, id, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "scenarios", id, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestServiceDecides: both forms of a request, on the real service with real trials.
func TestServiceDecides(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), freeAddr(t))
	fix := appScenarioPatch(t, "app-path-traversal", "fix.diff")

	status, _, v := s.call(http.MethodPost, "/wargaming/validate", map[string]any{
		"apv_id": "apv-1", "scenario_id": "app-path-traversal", "patch_id": "p-1", "patch_diff": fix, "wait": "3m",
	})
	if status != http.StatusOK || v["verdict"] != "fixed" || v["patch_validated"] != true || v["validation_method"] != "wargaming" {
		t.Fatalf("%d %v", status, v)
	}
	if v["apv_id"] != "apv-1" || v["patch_id"] != "p-1" {
		t.Errorf("the answer is not the request's: %v", v)
	}

	// Another patch for the same APV gets an answer of its own.
	status, _, w := s.call(http.MethodPost, "/wargaming/execute", map[string]any{
		"apv_id": "apv-1", "scenario_id": "app-path-traversal", "patch_id": "p-2", "wait": "3m",
		"patch_diff": "--- /dev/null\n+++ b/NOTES.txt\n@@ -0,0 +1 @@\n+nothing\n",
	})
	if status != http.StatusOK || w["verdict"] != "not_fixed" || w["validation_id"] == v["validation_id"] {
		t.Fatalf("%d %v", status, w)
	}

	// The short form: a query that binds its value already doesn't reproduce, however it is rewritten.
	status, _, v = s.call(http.MethodPost, "/wargaming/validate", map[string]any{
		"apv_id": "apv-2", "cve_id": "CVE-2024-0001", "wait": "3m",
		"vulnerability": map[string]any{"type": "sql_injection", "severity": "high", "affected_code": "db.query('SELECT * FROM users WHERE id = ?', [id])"},
		"patch":         map[string]any{"type": "parameterized_query", "code": "db.query('SELECT * FROM users WHERE id = $1', [id])"},
	})
	if status != http.StatusOK || v["verdict"] != "inconclusive" || v["patch_validated"] != false || !strings.Contains(fmt.Sprint(v["reason"]), "this can be tried") {
		t.Fatalf("%d %v", status, v)
	}

	for name, body := range map[string]map[string]any{
		"stale":    {"apv_id": "a", "scenario_id": "app-path-traversal", "patch_diff": "--- a/app.js\n+++ b/app.js\n@@ -1 +1 @@\n-no such line\n+x\n"},
		"escape":   {"apv_id": "a", "scenario_id": "app-path-traversal", "patch_diff": "--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n"},
		"no patch": {"apv_id": "a", "scenario_id": "app-path-traversal"},
		"unknown":  {"apv_id": "a", "scenario_id": "app-path-traversal", "patch_diff": fix, "pacth": 1},
	} {
		if status, header, v := s.call(http.MethodPost, "/wargaming/validate", body); status != http.StatusUnprocessableEntity || !strings.HasPrefix(header.Get("Content-Type"), "application/problem+json") {
			t.Errorf("%s: %d %v", name, status, v)
		}
	}
	if status, _, v := s.call(http.MethodPost, "/wargaming/validate", map[string]any{"apv_id": "a", "scenario_id": "nothing", "patch_diff": fix}); status != http.StatusNotFound {
		t.Errorf("unknown scenario: %d %v", status, v)
	}
	if status, _, v := s.call(http.MethodGet, "/wargaming/scenarios/app-path-traversal", nil); status != http.StatusOK || v["id"] != "app-path-traversal" {
		t.Errorf("scenario: %d %v", status, v)
	}
	if status, _, v := s.call(http.MethodGet, "/openapi.json", nil); status != http.StatusOK || v["openapi"] != "3.1.0" {
		t.Errorf("openapi: %d", status)
	}
}

// TestServiceSurvivesKill: requests that were accepted before a kill -9 in mid-trial each end with one verdict.
func TestServiceSurvivesKill(t *testing.T) {
	t.Parallel()
	data, addr := t.TempDir(), freeAddr(t)
	s := serve(t, data, addr)
	fix, err := os.ReadFile("testdata/lodash-fix.diff")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 3 {
		status, header, v := s.call(http.MethodPost, "/wargaming/validate", map[string]any{
			"apv_id": fmt.Sprint("apv-", i), "cve_id": "CVE-2019-10744", "patch_diff": string(fix), "wait": "0s",
		})
		if status != http.StatusAccepted || header.Get("Location") == "" {
			t.Fatalf("%d %v", status, v)
		}
		ids = append(ids, v["validation_id"].(string))
	}
	for { // until a trial is under way
		_, _, v := s.call(http.MethodGet, "/wargaming/validations/"+ids[0], nil)
		if v["state"] == "running" {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	again := serve(t, data, addr)
	for _, id := range ids {
		if v := again.finished(id); v["verdict"] != "fixed" {
			t.Errorf("%s: %v: %v", id, v["verdict"], v["reason"])
		}
	}
	_, _, list := again.call(http.MethodGet, "/wargaming/validations", nil)
	if items, _ := list["validations"].([]any); len(items) != len(ids) {
		t.Errorf("%d validations for %d requests: %v", len(items), len(ids), list)
	}
}

func TestServeRefusesOtherAddresses(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:80"} {
		out, err := exec.Command(binary, "serve", "--addr", addr, "--data", t.TempDir()).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "listen on") {
			t.Errorf("%s: %v %s", addr, err, out)
		}
	}
}

// TestInterruptLeavesNothing: Ctrl-C in the middle of a trial ends it at once, with no process, mount or file left.
func TestInterruptLeavesNothing(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	folder := filepath.Join(t.TempDir(), "slow")
	if err := os.CopyFS(folder, os.DirFS("testdata/tiny")); err != nil {
		t.Fatal(err)
	}
	mark := fmt.Sprintf("mark-%d", os.Getpid())
	script := "require('http') // keep\nconsole.log('waiting'); setInterval(() => {}, 1000)\n"
	if err := os.WriteFile(filepath.Join(folder, "exploit.js"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(folder, "scenario.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	manifest = bytes.ReplaceAll(manifest, []byte("../secret.txt]"), []byte("../secret.txt, "+mark+"]"))
	if err := os.WriteFile(filepath.Join(folder, "scenario.yaml"), manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "validate", folder, "--reference", "--data", data)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for !running(t, mark) {
		time.Sleep(10 * time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(bufio.NewReader(stderr))
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit %d: %s", code, said)
	}
	if running(t, mark) {
		t.Error("a process is left")
	}
	left, err := os.ReadDir(filepath.Join(data, "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), data) {
		t.Errorf("a mount is left: %v", err)
	}
}

// running says whether a process with the mark among its arguments is alive, the crisol under test aside.
func running(t *testing.T, mark string) bool {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		line, err := os.ReadFile(entry)
		if err == nil && bytes.Contains(line, []byte(mark)) && bytes.Contains(line, []byte("exploit.js")) {
			return true
		}
	}
	return false
}
