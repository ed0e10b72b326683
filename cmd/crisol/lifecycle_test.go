package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// logged waits until the log of a service says something.
func (s *service) logged(what string) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(s.log.String(), what) {
			return
		}
	}
	s.t.Fatalf("the log never says %q", what)
}

func (s *service) signal(signal os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// TestReload: on SIGHUP the settings are read again. What is wrong changes nothing, what needs a restart is named, and the
// change is in the audit log.
func TestReload(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	file := filepath.Join(data, "crisol.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("limit-other: 100\n")
	s := serve(t, data, freeAddr(t), "--config", file)
	limit := func() string {
		_, header, _ := s.call(http.MethodGet, "/wargaming/scenarios", nil)
		return header.Get("RateLimit-Policy")
	}
	if got := limit(); !strings.Contains(got, "q=100;") {
		t.Fatalf("at first: %s", got)
	}
	write("limit-other: many\nworkres: 3\n")
	s.signal(syscall.SIGHUP)
	s.logged("2 settings can't be used")
	if got := limit(); !strings.Contains(got, "q=100;") {
		t.Errorf("wrong settings changed the limit: %s", got)
	}
	write("limit-other: 200\nlog-level: debug\nlease: 40s\n")
	s.signal(syscall.SIGHUP)
	s.logged(`"settings were read again"`)
	if got := limit(); !strings.Contains(got, "q=200;") {
		t.Errorf("after the change: %s", got)
	}
	s.logged(`"setting":"lease"`)
	status, _, log := s.call(http.MethodGet, "/wargaming/audit-log", nil)
	entries, _ := json.Marshal(log["entries"])
	if status != http.StatusOK || !bytes.Contains(entries, []byte("read the settings again")) || !bytes.Contains(entries, []byte("limit-other")) {
		t.Errorf("%d %s", status, entries)
	}
}

// TestAuditLog: what callers change is in the audit log, with who they are, and only operators read it.
func TestAuditLog(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	token := func(scopes ...string) string {
		t.Helper()
		args := []string{"token", "create", "tester", "--data", data}
		for _, scope := range scopes {
			args = append(args, "--scope", scope)
		}
		out, err := exec.Command(binary, args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	operator, reader := token("operate"), token("read")
	s := serve(t, data, freeAddr(t))
	ask := func(method, path, token string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		var body bytes.Buffer
		_, _ = body.ReadFrom(res.Body)
		return res.StatusCode, body.String()
	}
	for path, want := range map[string]int{"/wargaming/ab-testing/enable": 200, "/wargaming/models/gbdt_v1/promote": 422, "/wargaming/models/none/promote": 404} {
		if status, body := ask(http.MethodPost, path, operator); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := ask(http.MethodDelete, "/wargaming/cache?apv_id=a%22%1b", operator); status != http.StatusOK {
		t.Errorf("cache: %d %s", status, body)
	}
	if status, body := ask(http.MethodGet, "/wargaming/audit-log", reader); status != http.StatusForbidden {
		t.Errorf("a reader: %d %s", status, body)
	}
	status, body := ask(http.MethodGet, "/wargaming/audit-log?limit=500", operator)
	for _, want := range []string{`"act":"enable A/B testing"`, `"act":"promote a model","subject":"gbdt_v1","detail":{"force":false},"outcome":"failed"`, `tester","address":"127.0.0.1"`, `"act":"invalidate the cache"`, `"act":"create a token"`} {
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d: %s isn't in %s", status, want, body)
		}
	}
	out, err := exec.Command(binary, "audit-log", "--verify", "--data", data).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = exec.Command(binary, "audit-log", "--data", data).CombinedOutput(); err != nil || bytes.ContainsRune(out, 0x1b) {
		t.Errorf("%v\n%q", err, out)
	}
	if strings.Contains(s.log.String(), operator) || strings.Contains(string(out), operator) {
		t.Error("a log tells a token")
	}
}

// TestHandover: a service that begins anew refuses no caller and loses nothing that it has accepted. At most one connection
// a restart is closed before an answer, which clients may send again.
func TestHandover(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), freeAddr(t), "--limit-other", "0", "--limit-validate", "0")
	pid := s.cmd.Process.Pid
	var answered, failed, again atomic.Int64
	var ids sync.Map
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer stop()
	for i := range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}} // connections are kept, as most clients do
			for n := 0; ctx.Err() == nil; n++ {
				send := func() (*http.Response, error) {
					if n != i { // one validation each, at another time
						return client.Get(s.base + "/health")
					}
					body, _ := json.Marshal(map[string]any{"apv_id": fmt.Sprint("apv-", i), "wait": "0s",
						"vulnerability": map[string]any{"type": "sql_injection", "affected_code": "db.query('SELECT * FROM users WHERE id = ' + id)"},
						"patch":         map[string]any{"type": "parameterized_query", "code": fmt.Sprintf("db.query('SELECT * FROM users WHERE id = ? LIMIT %d', [id])", 5+i)}})
					return client.Post(s.base+"/wargaming/validate", "application/json", bytes.NewReader(body))
				}
				res, err := send()
				if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) { // closed before any answer: to be sent again, as proxies do
					again.Add(1)
					res, err = send()
				}
				if err != nil {
					failed.Add(1)
					t.Error(err)
					continue
				}
				var v map[string]any
				err = json.NewDecoder(res.Body).Decode(&v)
				_ = res.Body.Close()
				switch {
				case err != nil || res.StatusCode >= 300:
					failed.Add(1)
					t.Errorf("%d %v %v", res.StatusCode, err, v)
				case v["validation_id"] != nil:
					ids.Store(v["validation_id"], true)
				}
				answered.Add(1)
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	for restart := range 2 {
		before := strings.Count(s.log.String(), `"msg":"service starts"`)
		s.signal(syscall.SIGUSR2)
		for deadline := time.Now().Add(time.Minute); strings.Count(s.log.String(), `"msg":"service starts"`) == before; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("restart %d never came", restart+1)
			}
		}
		n := answered.Load()
		for deadline := time.Now().Add(time.Minute); answered.Load() < n+20 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		}
	}
	stop()
	clients.Wait()
	if again.Load() > 2 { // of a connection that the client opened in the very moment, one for each restart
		t.Errorf("%d of %d requests had to be sent again", again.Load(), answered.Load())
	}
	if s.cmd.Process.Pid != pid || failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), answered.Load())
	}
	n := 0
	ids.Range(func(id, _ any) bool {
		n++
		if v := s.finished(id.(string)); v["verdict"] != "fixed" {
			t.Errorf("%v: %v %v", id, v["verdict"], v["reason"])
		}
		return true
	})
	if n == 0 {
		t.Error("nothing was accepted: this shows nothing")
	}
	t.Logf("%d requests answered, %d validations", answered.Load(), n)
}

// TestSocketActivation: a socket that is open already takes the address's place, and the rule about loopback holds for it.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	start := func(addr string) (*exec.Cmd, *safeBuffer, string) {
		t.Helper()
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		socket, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = socket.Close() }()
		// The process must know its own id before it starts.
		cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve --data "$1"`, binary, t.TempDir())
		log := &safeBuffer{}
		cmd.ExtraFiles, cmd.Stderr = []*os.File{socket}, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd, log, l.Addr().String()
	}
	cmd, log, addr := start("127.0.0.1:0")
	res, err := http.Get("http://" + addr + "/health") // it waits in the socket's queue
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v %v\n%s", res, err, log)
	}
	_ = res.Body.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log)
	}
	cmd, log, _ = start("0.0.0.0:0")
	if err := cmd.Wait(); err == nil || !strings.Contains(log.String(), "not a loopback address") {
		t.Errorf("%v\n%s", err, log)
	}
}
