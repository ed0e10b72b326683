package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"crisol"
	"crisol/client"
	"crisol/internal/resilience"
	"crisol/internal/store"
	"crisol/internal/store/sqlite"
	"crisol/internal/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// migrated is an empty database with its schema: making one takes longer than most tests.
var migrated = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "crisol-webhook-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "crisol.db")
	st, err := sqlite.Open(context.Background(), path, slog.New(slog.DiscardHandler))
	if err == nil {
		err = st.Close()
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// outbox is a real store.
func outbox(t *testing.T) store.Deliveries {
	t.Helper()
	path := filepath.Join(t.TempDir(), "crisol.db")
	fresh, err := migrated()
	must(t, err)
	must(t, os.WriteFile(path, fresh, 0o600))
	st, err := sqlite.Open(t.Context(), path, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { must(t, st.Close()) })
	return st.Deliveries()
}

func start(t *testing.T, box store.Deliveries, change ...func(*webhook.Config)) *webhook.Sender {
	t.Helper()
	c := webhook.Config{Deliveries: box, Secret: secret, Allow: loopback, Poll: 5 * time.Millisecond, Backoff: func(int) time.Duration { return time.Millisecond }}
	for _, f := range change {
		f(&c)
	}
	s, err := webhook.New(c)
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		must(t, s.Stop(ctx))
		must(t, s.Stop(ctx))
	})
	return s
}

var secret, _ = webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

func enqueue(t *testing.T, box store.Deliveries, id, url string) {
	t.Helper()
	must(t, box.Enqueue(t.Context(), store.Delivery{ID: id, ValidationID: "v-1", Kind: "validation_finished", URL: url,
		Body: []byte(`{"validation_id":"v-1","verdict":"not_fixed"}`), CreatedAt: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}))
}

func ended(t *testing.T, box store.Deliveries, id string) store.Delivery {
	t.Helper()
	var d store.Delivery
	eventually(t, id+" ends", func() bool {
		var err error
		d, err = box.Get(t.Context(), id)
		must(t, err)
		return !d.Ended.IsZero()
	})
	return d
}

// receiver answers what a test says, and keeps what it got.
type receiver struct {
	*httptest.Server
	mu  sync.Mutex
	got []request
}

type request struct {
	header http.Header
	body   []byte
	path   string
}

func receive(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		r.got = append(r.got, request{q.Header, body, q.Method + " " + q.URL.Path})
		r.mu.Unlock()
		answer(w, q)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.got...)
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestDelivers(t *testing.T) {
	t.Parallel()
	box, r := outbox(t), receive(t, status(http.StatusNoContent))
	s := start(t, box, func(c *webhook.Config) { c.Poll = time.Hour })
	enqueue(t, box, "finished/v-1", r.URL+"/hook?token=1")
	s.Notify()
	d := ended(t, box, "finished/v-1")
	got := r.requests()
	if d.GivenUp || d.Attempts != 1 || len(got) != 1 || got[0].path != "POST /hook" || got[0].header.Get("Content-Type") != "application/json" {
		t.Fatalf("%+v, %+v", d, got)
	}
	w, err := client.VerifyWebhook(got[0].header, got[0].body, time.Now(), "whsec_"+strings.Repeat("A", 32), secret.Text())
	must(t, err)
	v, err := w.Validation()
	if err != nil || w.ID != "finished/v-1" || w.Type != "validation_finished" || w.ValidationID != "v-1" || v.Verdict != crisol.NotFixed ||
		!w.Timestamp.Equal(time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v, %v", w, err)
	}
	if s.Stats() != (webhook.Stats{Delivered: 1}) {
		t.Errorf("%+v", s.Stats())
	}
}

// TestRepeats: what fails comes again under the same id, with a signature of its own time, until it is taken.
func TestRepeats(t *testing.T) {
	t.Parallel()
	answers := []int{500, 404, 302, 429, 200}
	var n atomic.Int64
	box := outbox(t)
	r := receive(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Location", "http://"+q.Host+"/elsewhere")
		w.WriteHeader(answers[n.Add(1)-1])
	})
	var mu sync.Mutex
	var pauses []int
	start(t, box, func(c *webhook.Config) {
		c.Backoff = func(n int) time.Duration { mu.Lock(); pauses = append(pauses, n); mu.Unlock(); return time.Millisecond }
	})
	enqueue(t, box, "d", r.URL+"/hook")
	d := ended(t, box, "d")
	if d.GivenUp || d.Attempts != 5 {
		t.Errorf("%+v", d)
	}
	for _, got := range r.requests() {
		if got.path != "POST /hook" || got.header.Get("webhook-id") != "d" {
			t.Errorf("%+v", got)
		}
		if _, err := client.VerifyWebhook(got.header, got.body, time.Now(), secret.Text()); err != nil {
			t.Error(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(pauses) != "[1 2 3 4]" {
		t.Errorf("pauses after attempts %v", pauses)
	}
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	box := outbox(t)
	gone, broken := receive(t, status(http.StatusGone)), receive(t, status(http.StatusInternalServerError))
	s := start(t, box, func(c *webhook.Config) { c.Attempts = 3 })
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, c := range []struct {
		id, url, reason string
		attempts        int
	}{
		{"gone", gone.URL, "410", 1},
		{"broken", broken.URL, "500", 3},
		{"nobody", closed.URL + "/?token=hunter2", "connection refused", 3},
		{"private", "http://10.0.0.1/", "10.0.0.1 is not a public address", 1},
		{"metadata", "http://169.254.169.254/latest/meta-data/", "is not a public address", 1},
		{"by name", "http://localhost.:1/", "::1", 1}, // 127.0.0.1 is allowed here, and refuses the connection
		{"no URL", "file:///etc/passwd", "http", 1},
	} {
		enqueue(t, box, c.id, c.url)
		d := ended(t, box, c.id)
		if c.id == "by name" { // which address comes first is the resolver's choice
			if !d.GivenUp {
				t.Errorf("%+v", d)
			}
			continue
		}
		if !d.GivenUp || d.Attempts != c.attempts || !strings.Contains(d.LastError, c.reason) || strings.Contains(d.LastError, "hunter2") {
			t.Errorf("%s: %+v", c.id, d)
		}
	}
	if n := s.Stats(); n.Delivered != 0 || n.GivenUp != 7 {
		t.Errorf("%+v", n)
	}
}

// TestNamesAreResolvedFirst: a name that leads inside is refused although it says nothing of that, and nothing arrives.
func TestNamesAreResolvedFirst(t *testing.T) {
	t.Parallel()
	box, r := outbox(t), receive(t, status(http.StatusOK))
	start(t, box, func(c *webhook.Config) { c.Allow = nil })
	_, port, _ := strings.Cut(strings.TrimPrefix(r.URL, "http://"), ":")
	for _, host := range []string{"localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"} {
		enqueue(t, box, host, "http://"+host+":"+port+"/")
	}
	for _, host := range []string{"localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"} {
		if d := ended(t, box, host); !d.GivenUp || !strings.Contains(d.LastError, "not a public address") {
			t.Errorf("%s: %+v", host, d)
		}
	}
	if got := r.requests(); len(got) > 0 {
		t.Errorf("%d requests arrived", len(got))
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	box := outbox(t)
	endless := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		for block := make([]byte, 1<<20); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	release := make(chan struct{})
	silent := receive(t, func(_ http.ResponseWriter, q *http.Request) {
		select {
		case <-q.Context().Done():
		case <-release:
		}
	})
	t.Cleanup(func() { close(release) })
	start(t, box, func(c *webhook.Config) { c.Timeout, c.Attempts = 300*time.Millisecond, 1 })
	enqueue(t, box, "endless", endless.URL)
	enqueue(t, box, "silent", silent.URL)
	if d := ended(t, box, "endless"); d.GivenUp {
		t.Errorf("%+v", d)
	}
	if d := ended(t, box, "silent"); !d.GivenUp {
		t.Errorf("%+v", d)
	}
}

func TestLongMessages(t *testing.T) {
	t.Parallel()
	box, r := outbox(t), receive(t, status(http.StatusOK))
	start(t, box, func(c *webhook.Config) { c.MaxBody = 20 })
	enqueue(t, box, "d", r.URL)
	ended(t, box, "d")
	w, err := client.VerifyWebhook(r.requests()[0].header, r.requests()[0].body, time.Now(), secret.Text())
	must(t, err)
	if _, err := w.Validation(); !w.Truncated || w.Data != nil || w.ValidationID != "v-1" || crisol.HintOf(err) == "" {
		t.Errorf("%+v, %v", w, err)
	}
}

// TestConcurrency: a receiver that doesn't answer keeps its share of places, and no more are made.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	box := outbox(t)
	var now, most atomic.Int64
	release := make(chan struct{})
	r := receive(t, func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		<-release
		now.Add(-1)
	})
	start(t, box, func(c *webhook.Config) { c.Concurrency = 3 })
	for n := range 10 {
		enqueue(t, box, fmt.Sprint(n), r.URL)
	}
	eventually(t, "three are sent", func() bool { return now.Load() == 3 })
	close(release)
	for n := range 10 {
		if d := ended(t, box, fmt.Sprint(n)); d.GivenUp || d.Attempts != 1 {
			t.Errorf("%+v", d)
		}
	}
	if most.Load() > 3 {
		t.Errorf("%d at once", most.Load())
	}
}

// TestStopAndTakeOver: an attempt that a stopped sender leaves behind is made again when its time is over.
// TestReceiverRests: a receiver that is down is left alone, which costs its deliveries no attempts, and others get theirs.
func TestReceiverRests(t *testing.T) {
	t.Parallel()
	box := outbox(t)
	var down atomic.Bool
	down.Store(true)
	sick := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	well := receive(t, status(http.StatusOK))
	panel := resilience.NewPanel(nil)
	hosts := panel.Group(resilience.Config{Name: "webhook", Failures: 5, Rest: 300 * time.Millisecond, Foreign: true}, 9)
	start(t, box, func(c *webhook.Config) { c.Hosts, c.Concurrency, c.Attempts = hosts, 1, 6 })
	host := strings.TrimPrefix(sick.URL, "http://")
	for n := range 4 {
		enqueue(t, box, fmt.Sprint("sick-", n), sick.URL)
	}
	eventually(t, "the breaker opens", func() bool { return hosts.Guard(host).State().State == resilience.Open })
	enqueue(t, box, "well", well.URL)
	if d := ended(t, box, "well"); d.Attempts != 1 || d.GivenUp {
		t.Errorf("%+v", d)
	}
	if states := panel.States(); len(states) != 1 || states[0].Name != "webhook/"+host {
		t.Errorf("%+v", states)
	}
	eventually(t, "one attempt is made to see", func() bool { return len(sick.requests()) == 6 })
	down.Store(false)
	made := 0
	for n := range 4 {
		d := ended(t, box, fmt.Sprint("sick-", n))
		if made += d.Attempts; d.GivenUp {
			t.Errorf("%+v", d)
		}
	}
	if made != len(sick.requests()) {
		t.Errorf("%d attempts are counted, and %d were made", made, len(sick.requests()))
	}
}

// TestWhatIsDown: an answer that is about one message says nothing of the receiver as a whole.
func TestWhatIsDown(t *testing.T) {
	t.Parallel()
	box := outbox(t)
	panel := resilience.NewPanel(nil)
	start(t, box, func(c *webhook.Config) { c.Hosts, c.Attempts, c.Concurrency = webhook.Hosts(panel), 12, 1 })
	enqueue(t, box, "404", receive(t, status(http.StatusNotFound)).URL)
	enqueue(t, box, "410", receive(t, status(http.StatusGone)).URL)
	enqueue(t, box, "refused", "http://10.0.0.1/")
	for _, id := range []string{"404", "410", "refused"} {
		if d := ended(t, box, id); !d.GivenUp || (d.Attempts == 12) != (id == "404") {
			t.Errorf("%+v", d)
		}
	}
	if states := panel.States(); len(states) != 0 {
		t.Errorf("%+v", states)
	}
}

func TestStopAndTakeOver(t *testing.T) {
	t.Parallel()
	box := outbox(t)
	release := make(chan struct{})
	var n atomic.Int64
	r := receive(t, func(http.ResponseWriter, *http.Request) {
		if n.Add(1) == 1 {
			<-release
		}
	})
	t.Cleanup(func() { close(release) })
	first := start(t, box)
	enqueue(t, box, "d", r.URL)
	eventually(t, "it is sent", func() bool { return n.Load() == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, first.Stop(ctx))
	if d, err := box.Get(t.Context(), "d"); err != nil || !d.Ended.IsZero() || d.Attempts != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	start(t, box, func(c *webhook.Config) { c.Now = func() time.Time { return time.Now().Add(time.Minute) } })
	if d := ended(t, box, "d"); d.GivenUp || d.Attempts != 2 {
		t.Errorf("%+v", d)
	}
}

// TestRetryAfter: a receiver may ask for a longer pause, within bounds.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	box := outbox(t)
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	start(t, box, func(c *webhook.Config) { c.Now = func() time.Time { return at } })
	for wish, want := range map[string]time.Duration{"60": time.Minute, "999999999": time.Hour, "-5": time.Millisecond, "soon": time.Millisecond} {
		r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", wish)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		enqueue(t, box, wish, r.URL)
		var d store.Delivery
		eventually(t, "it fails", func() bool {
			var err error
			d, err = box.Get(t.Context(), wish)
			must(t, err)
			return d.LastError != ""
		})
		if got := d.NextAt.Sub(at); got != want {
			t.Errorf("Retry-After %s: next in %v, want %v", wish, got, want)
		}
	}
}

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "172.32.0.1": true, "100.128.0.1": true, "2606:4700:4700::1111": true, "::ffff:8.8.8.8": true,
		"0.0.0.0": false, "10.1.2.3": false, "127.0.0.1": false, "127.8.8.8": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.168.0.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.100.100.200": false, "192.0.0.192": false, "168.63.129.16": false,
		"198.18.0.1": false, "203.0.113.9": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false, "fc00::1": false, "fd00:ec2::254": false,
		"fe80::1": false, "fe80::1%eth0": false, "2606:4700::1%eth0": false, "fec0::1": false, "ff02::1": false, "64:ff9b::7f00:1": false,
		"64:ff9b:1::1": false, "2002:7f00:1::": false, "2001:0:7f00:1::": false, "2001:db8::1": false, "100::1": false, "5f00::1": false, "3fff::1": false,
	} {
		if got := webhook.Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public %v", text, got)
		}
	}
	if webhook.Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestCheck(t *testing.T) {
	inside := append([]netip.Prefix{netip.MustParsePrefix("fd12::/16")}, loopback...)
	for address, want := range map[string]bool{
		"https://ci.example.com/crisol?a=b": true, "http://ci.example.com:8080": true, "http://127.0.0.1:9/": true, "https://[fd12::1]/": true,
		"http://[::ffff:127.0.0.1]/": true, "https://8.8.8.8/": true,
		"": false, "ci.example.com": false, "ftp://ci.example.com/": false, "javascript:alert(1)": false, "http://": false, "http:///x": false, "http:ci": false,
		"https://user:secret@ci.example.com/": false, "https://ci.example.com/#x": false, "http://10.0.0.1/": false, "http://[::1]/": false,
		"http://[fe80::1%25eth0]/": false, "http://169.254.169.254/": false, "http://a b/": false,
	} {
		if err := webhook.Check(address, inside); (err == nil) != want || err != nil && (crisol.KindOf(err) != crisol.KindInput || crisol.HintOf(err) == "") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestSecret(t *testing.T) {
	made := webhook.NewSecret()
	again, err := webhook.ParseSecret(made.Text() + "\n")
	if err != nil || again.Text() != made.Text() || webhook.NewSecret().Text() == made.Text() {
		t.Error(err)
	}
	for _, text := range []string{fmt.Sprint(made), fmt.Sprintf("%v %+v %#v", made, made, struct{ S webhook.Secret }{made})} {
		if strings.Contains(text, made.Text()) || strings.Contains(text, made.Text()[6:]) {
			t.Errorf("a log would show %s", text)
		}
	}
	for _, text := range []string{"", "whsec_", "whsec_AAAA", made.Text()[6:], "whsec_!" + made.Text()[7:], "whsec_" + strings.Repeat("A", 100)} {
		if _, err := webhook.ParseSecret(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := webhook.New(webhook.Config{}); err == nil {
		t.Error("a sender without a secret")
	}
}

func TestEnvelope(t *testing.T) {
	text, err := json.Marshal(webhook.Envelope{Type: "t", Timestamp: time.Unix(0, 0).UTC()})
	if err != nil || string(text) != `{"type":"t","timestamp":"1970-01-01T00:00:00Z"}` {
		t.Errorf("%s, %v", text, err)
	}
}
