package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"crisol"
	"crisol/client"
	"crisol/internal/api/apitest"
	"crisol/internal/jobs"
	"crisol/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T, url string, options ...client.Option) *client.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(url, append([]client.Option{
		client.WithHTTPClient(&http.Client{Transport: transport}), client.WithRetries(2, time.Millisecond),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var request = crisol.Request{APVID: "apv-001", CVEID: "CVE-2019-10744", PatchID: "p-7", PatchDiff: "--- a/x\n+++ b/x\n", MinAssurance: crisol.A2}

func TestValidate(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{})
	c := connect(t, s.URL, client.WithUserAgent("test"), client.WithPoll(10*time.Second))
	v, err := c.Validate(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := s.Store.Get(t.Context(), v.ID)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", v.Wargame.Gates[0].Checks[0].Runs) != fmt.Sprintf("%+v", kept.Validation.Wargame.Gates[0].Checks[0].Runs) ||
		v.Verdict != crisol.Fixed || !v.PatchValidated || v.Assurance != crisol.A3 || v.APVID != "apv-001" || !v.CreatedAt.Equal(kept.CreatedAt) {
		t.Errorf("got %+v\nkept %+v", v, kept.Validation)
	}
	record, err := c.Get(t.Context(), v.ID)
	if err != nil || record.State != client.Finished || record.Request.PatchDiff != request.PatchDiff || record.Request.MinAssurance != crisol.A2 ||
		record.FinishedAt.IsZero() || record.Verdict != crisol.Fixed {
		t.Errorf("%+v, %v", record, err)
	}
}

// TestFollows: a trial that outlasts the wait is asked for again until it is decided.
func TestFollows(t *testing.T) {
	t.Parallel()
	release, begun := make(chan struct{}), make(chan string, 1)
	s := apitest.Start(t, apitest.Flow{Runs: func(ctx context.Context, r crisol.Request, id string) (crisol.Validation, error) {
		begun <- id
		select {
		case <-release:
			return apitest.Decide(crisol.NotFixed)(ctx, r, id)
		case <-ctx.Done():
			return crisol.Validation{}, ctx.Err()
		}
	}}, apitest.Config{})
	c := connect(t, s.URL, client.WithPoll(20*time.Millisecond))

	ctx, giveUp := context.WithCancel(t.Context())
	patient := request
	patient.Wait = "0s"
	record, err := c.Submit(ctx, patient)
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	_, err = c.Await(ctx, record, func(client.Record) { giveUp() })
	id := client.IDOf(err)
	if !errors.Is(err, context.Canceled) || id == "" || !strings.Contains(err.Error(), id) {
		t.Fatalf("given up with %v", err)
	}
	record, err = c.Get(t.Context(), id)
	if err != nil || record.State != client.Running || record.Verdict != "" || record.Attempts != 1 {
		t.Fatalf("%+v, %v", record, err)
	}
	record, err = c.Submit(t.Context(), crisol.Request{APVID: "a", PatchDiff: "x", Wait: "1ms"})
	if err != nil || record.State == client.Finished {
		t.Fatalf("%+v, %v", record, err)
	}
	done := make(chan crisol.Validation, 1)
	go func() {
		v, err := c.Validate(t.Context(), request)
		if err != nil {
			t.Error(err)
		}
		done <- v
	}()
	<-begun
	close(release)
	if v := <-done; v.Verdict != crisol.NotFixed {
		t.Errorf("%+v", v)
	}
	if client.IDOf(nil) != "" {
		t.Error("an id from nothing")
	}
}

func TestListWalksPages(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{})
	c := connect(t, s.URL)
	var want []string
	for n := range 5 {
		r := request
		r.PatchID = fmt.Sprint("p-", n)
		v, err := c.Validate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, v.ID)
	}
	slices.Reverse(want)
	walk := func(f client.Filter) (ids []string) {
		t.Helper()
		for summary, err := range c.List(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			if summary.State != client.Finished || summary.Verdict != crisol.Fixed || summary.CreatedAt.IsZero() || summary.FinishedAt.IsZero() {
				t.Errorf("%+v", summary)
			}
			ids = append(ids, summary.ID)
		}
		return ids
	}
	if got := walk(client.Filter{PageSize: 2}); !slices.Equal(got, want) {
		t.Errorf("all: %v, want %v", got, want)
	}
	if got := walk(client.Filter{
		State: client.Finished, Verdict: crisol.Fixed, APVID: "apv-001", CVEID: "CVE-2019-10744", PatchID: "p-3",
		ScenarioID: "CVE-2019-10744", Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour),
	}); !slices.Equal(got, want[1:2]) {
		t.Errorf("filtered: %v, want %v", got, want[1:2])
	}
	for _, err := range c.List(t.Context(), client.Filter{PageSize: 2}) {
		if err != nil {
			t.Error(err)
		}
		break // leaving early is fine
	}
	for _, err := range c.List(t.Context(), client.Filter{PageSize: 201}) {
		if crisol.KindOf(err) != crisol.KindInput || !strings.Contains(err.Error(), "query.limit") {
			t.Errorf("page too big: %v", err)
		}
	}
}

func TestScenariosAndHealth(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{})
	c := connect(t, s.URL+"/")
	list, err := c.Scenarios(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != "CVE-2019-10744" || list[0].CWE[0] != "CWE-1321" || list[0].Verified != "2026-02-03" {
		t.Errorf("%+v, %v", list, err)
	}
	health, err := c.Health(t.Context())
	if err != nil || health != (client.Health{Status: "ok", Version: "1.2.3-test"}) {
		t.Errorf("%+v, %v", health, err)
	}
}

// TestErrorsKeepTheirKind: an error comes out of the client as it went into the service.
func TestErrorsKeepTheirKind(t *testing.T) {
	t.Parallel()
	var refusal atomic.Pointer[error]
	var asked atomic.Int64
	s := apitest.Start(t, apitest.Flow{Checks: func(context.Context, crisol.Request) (store.Accepted, error) {
		asked.Add(1)
		return store.Accepted{}, *refusal.Load()
	}}, apitest.Config{})
	c := connect(t, s.URL, client.WithRetries(0, 0))
	for _, want := range []error{
		crisol.WithHint(crisol.Errorf(crisol.KindInput, "patch does not apply"), "rebase it"),
		crisol.Errorf(crisol.KindNotFound, "no scenario for CVE-1"),
		crisol.Errorf(crisol.KindTarget, "target does not build"),
		crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "registry does not answer"), "try again"),
	} {
		refusal.Store(&want)
		_, err := c.Validate(t.Context(), request)
		if err == nil || crisol.KindOf(err) != crisol.KindOf(want) || err.Error() != want.Error() || crisol.HintOf(err) != crisol.HintOf(want) {
			t.Errorf("%v (%v, %q), want %v", err, crisol.KindOf(err), crisol.HintOf(err), want)
		}
		if client.IDOf(err) != "" {
			t.Errorf("%v was not accepted", err)
		}
	}
	if asked.Load() != 4 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestFullQueueIsTriedAgain(t *testing.T) {
	t.Parallel()
	var refused atomic.Int64
	s := apitest.Start(t, apitest.Flow{Checks: func(_ context.Context, r crisol.Request) (store.Accepted, error) {
		if refused.Add(1) <= 2 {
			return store.Accepted{}, store.ErrFull
		}
		return store.Accepted{Normalised: r}, nil
	}}, apitest.Config{Jobs: func(*jobs.Config) {}})
	impatient := &http.Client{Transport: hurry{}}
	v, err := connect(t, s.URL, client.WithHTTPClient(impatient)).Validate(t.Context(), request)
	if err != nil || v.Verdict != crisol.Fixed || refused.Load() != 3 {
		t.Errorf("%+v, %v after %d", v, err, refused.Load())
	}
}

// hurry is a transport that shortens Retry-After, as the tests have less time than users.
type hurry struct{}

func (hurry) RoundTrip(r *http.Request) (*http.Response, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(r)
	if err == nil && response.Header.Get("Retry-After") != "" {
		response.Header.Set("Retry-After", "0")
	}
	return response, err
}

// TestOtherServers: what answers without being Crisol is told apart.
func TestOtherServers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		kind   string // content type
		body   string
		want   crisol.Kind
		says   string
	}{
		"a proxy's 502":         {502, "text/html", "<h1>Bad Gateway</h1>", crisol.KindInfrastructure, "502 Bad Gateway"},
		"a proxy's 500":         {500, "text/html", "", crisol.KindInternal, "500"},
		"another page":          {404, "text/html", "", crisol.KindNotFound, "404"},
		"a login":               {401, "text/html", "", crisol.KindInput, "401"},
		"success in HTML":       {200, "text/html", "<p>hello</p>", crisol.KindInfrastructure, "decode answer"},
		"a problem of another":  {409, "application/problem+json", `{"detail":"taken","kind":"strange"}`, crisol.KindInput, "taken"},
		"too many, for a while": {429, "application/problem+json", `{"detail":"slow down"}`, crisol.KindInfrastructure, "slow down"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer server.Close()
			_, err := connect(t, server.URL).Health(t.Context())
			if crisol.KindOf(err) != c.want || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v (%v)", err, crisol.KindOf(err))
			}
		})
	}
}

// TestLostConnection: what may have arrived is not sent twice; what only asks is.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	c := connect(t, server.URL)
	if _, err := c.Validate(t.Context(), request); crisol.KindOf(err) != crisol.KindInfrastructure || asked.Load() != 1 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
	asked.Store(0)
	if _, err := c.Health(t.Context()); !strings.Contains(crisol.HintOf(err), "crisol serve") || asked.Load() < 3 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Health(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPauseEndsWithContext(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := connect(t, server.URL).Health(ctx); !errors.Is(err, context.DeadlineExceeded) || crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Errorf("%v", err)
	}
}

func TestBadAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "127.0.0.1:8026", "localhost", "ftp://localhost", "http://", "http://h/?q=1", "http://h/#f", "http://[::1", "://"} {
		if _, err := client.New(address); crisol.KindOf(err) != crisol.KindInput || err == nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}
