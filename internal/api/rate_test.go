package api_test

import (
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"crisol/internal/api"
	"crisol/internal/api/apitest"
	"crisol/internal/ratelimit"
)

// TestRateLimit: each client and class of routes has a limit of its own; who is over it is told when to come again.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{API: func(d *api.Deps) {
		noon := time.Now() // and it stays noon
		d.Limiter = ratelimit.NewLocal(0, func() time.Time { return noon })
		d.Limits = api.Limits{Validate: 2, Other: 5}
		d.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	}})
	ask := func(method, path, body, forwarded string) (int, http.Header, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, response.Header, string(text)
	}
	const request = `{"apv_id":"a","cve_id":"CVE-2019-10744","patch_diff":"x"}`
	for i := range 2 {
		status, header, text := ask(http.MethodPost, "/wargaming/validate", request, "")
		if status != http.StatusOK || header.Get("RateLimit") != `"validate";r=`+strconv.Itoa(1-i)+`;t=`+strconv.Itoa(30*(i+1)) {
			t.Fatalf("%d %v: %s", status, header, text)
		}
	}
	status, header, text := ask(http.MethodPost, "/wargaming/execute", request, "") // the alias shares the limit
	wait, err := strconv.Atoi(header.Get("Retry-After"))
	if status != http.StatusTooManyRequests || err != nil || wait < 1 || wait > 30 || header.Get("RateLimit-Policy") != `"validate";q=2;w=60` ||
		header.Get("Content-Type") != "application/problem+json" || !strings.Contains(text, "2 requests a minute") {
		t.Errorf("%d %v: %s", status, header, text)
	}
	if status, _, text := ask(http.MethodGet, "/wargaming/scenarios", "", ""); status != http.StatusOK {
		t.Errorf("another class: %d %s", status, text)
	}
	for range 10 {
		if status, header, _ := ask(http.MethodGet, "/health", "", ""); status != http.StatusOK || header.Get("RateLimit") != "" {
			t.Errorf("health: %d %v", status, header)
		}
	}
	// Behind proxies that are trusted, the last address that isn't one of them counts; what a client adds before it doesn't.
	for _, c := range []struct {
		forwarded string
		want      int
	}{
		{"203.0.113.7", 200}, {"203.0.113.7, 10.1.2.3", 200}, {"198.51.100.1, 203.0.113.7", 429}, {"198.51.100.1", 200},
		{"203.0.113.7, 198.51.100.1, 10.0.0.9", 200}, {"198.51.100.1", 429}, {"not an address, 203.0.113.8", 200},
	} {
		if status, _, text := ask(http.MethodPost, "/wargaming/validate", request, c.forwarded); status != c.want {
			t.Errorf("%s: %d, want %d: %s", c.forwarded, status, c.want, text)
		}
	}
}

// TestForwardedByStrangers: nobody's X-Forwarded-For is believed unless the operator says so.
func TestForwardedByStrangers(t *testing.T) {
	t.Parallel()
	s := apitest.Start(t, apitest.Flow{}, apitest.Config{API: func(d *api.Deps) {
		d.Limiter, d.Limits = ratelimit.NewLocal(0, nil), api.Limits{Other: 1}
	}})
	for i, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/wargaming/scenarios", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", "203.0.113."+strconv.Itoa(i))
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%d: %d", i, response.StatusCode)
		}
	}
}
