package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"crisol/internal/api/apitest"
)

// TestMain also plays the service of TestKill9: the test starts its own binary again with serveEnv set.
func TestMain(m *testing.M) {
	if dir := os.Getenv(serveEnv); dir != "" {
		os.Exit(serveUntilKilled(dir))
	}
	goleak.VerifyTestMain(m)
}

// reply is an answer that was read to its end.
type reply struct {
	*http.Response
	body []byte
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("%s: %v in %s", r.Status, err, r.body)
	}
	return v
}

func send(t *testing.T, r *http.Request) reply {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response, body}
}

func request(t *testing.T, s *apitest.Service, method, path, body string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func get(t *testing.T, s *apitest.Service, path string) reply {
	t.Helper()
	return send(t, request(t, s, http.MethodGet, path, ""))
}

func post(t *testing.T, s *apitest.Service, body string) reply {
	t.Helper()
	return send(t, request(t, s, http.MethodPost, "/wargaming/validate", body))
}

const full = `{"apv_id":"apv-001","cve_id":"CVE-2019-10744","patch_id":"p-7","patch_diff":"--- a/x\n+++ b/x\n","confidence_threshold":0.8,"scenario_id":null,"wait":"30s","min_assurance":"A1"}`

// with returns the full request with members changed; a nil value leaves one out.
func with(t *testing.T, members ...any) string {
	t.Helper()
	body := map[string]any{}
	if err := json.Unmarshal([]byte(full), &body); err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(members); i += 2 {
		if body[members[i].(string)] = members[i+1]; members[i+1] == nil {
			delete(body, members[i].(string))
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantProblem checks the form that every error has.
func wantProblem(t *testing.T, r reply, status int, says ...string) map[string]any {
	t.Helper()
	if r.StatusCode != status || r.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%s, %s: %s; want a problem with %d", r.Status, r.Header.Get("Content-Type"), r.body, status)
	}
	p := r.json(t)
	if p["status"] != float64(status) || p["title"] != http.StatusText(status) || p["type"] != "about:blank" ||
		p["kind"] == "" || p["request_id"] != r.Header.Get("X-Request-Id") {
		t.Errorf("incomplete problem: %s", r.body)
	}
	for _, s := range says {
		if !strings.Contains(string(r.body), s) {
			t.Errorf("%s lacks %q", r.body, s)
		}
	}
	return p
}

// log collects what a service logs.
type log struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
