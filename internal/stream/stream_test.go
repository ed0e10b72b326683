package stream_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"crisol"
	"crisol/internal/store"
	"crisol/internal/store/sqlite"
	"crisol/internal/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// events is a store of events whose faults a test can choose.
type events struct {
	mu     sync.Mutex
	list   []store.Event // kept ones
	newest int64
	err    error
	reads  int
	pad    int // bytes added to each body
}

func (e *events) After(_ context.Context, id int64, limit int) ([]store.Event, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reads++
	var found []store.Event
	for _, event := range e.list {
		if event.ID > id && len(found) < limit {
			found = append(found, event)
		}
	}
	return found, e.err
}

func (e *events) Span(context.Context) (oldest, newest int64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.list) > 0 {
		oldest = e.list[0].ID
	}
	return oldest, e.newest, e.err
}

func (e *events) add(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for range n {
		e.newest++
		kind := []string{"even", "odd"}[e.newest%2]
		e.list = append(e.list, store.Event{ID: e.newest, At: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), Kind: kind,
			Subject: fmt.Sprint("s", e.newest%3), Body: json.RawMessage(`{"line":"one\ntwo` + strings.Repeat("x", e.pad) + `"}`)})
	}
}

// forget deletes what is older than the newest n.
func (e *events) forget(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = e.list[max(0, len(e.list)-n):]
}

func (e *events) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

func hub(t *testing.T, c stream.Config) *stream.Hub {
	t.Helper()
	h := stream.New(c)
	t.Cleanup(func() { h.Close(); h.Close() })
	return h
}

func subscribe(t *testing.T, h *stream.Hub, after int64, f stream.Filter) *stream.Subscription {
	t.Helper()
	s, err := h.Subscribe(t.Context(), after, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// next reads n events, and returns their numbers and how many were missed.
func next(t *testing.T, s *stream.Subscription, n int) (ids []int64, missed int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(ids) < n {
		batch, err := s.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		missed += batch.Missed
		for _, e := range batch.Events {
			ids = append(ids, e.ID)
		}
	}
	return ids, missed
}

func wantIDs(t *testing.T, got []int64, from, to int64) {
	t.Helper()
	if int64(len(got)) != to-from+1 {
		t.Fatalf("%d events %v, want %d to %d", len(got), got, from, to)
	}
	for i, id := range got {
		if id != from+int64(i) {
			t.Fatalf("%v, want %d to %d", got, from, to)
		}
	}
}

func TestResumes(t *testing.T) {
	t.Parallel()
	e := &events{}
	e.add(500)
	h := hub(t, stream.Config{Events: e, Poll: time.Hour, Keep: 1000})
	all, late, now := subscribe(t, h, 0, stream.Filter{}), subscribe(t, h, 450, stream.Filter{}), subscribe(t, h, stream.FromNow, stream.Filter{})
	ahead := subscribe(t, h, 9999, stream.Filter{})
	ids, _ := next(t, all, 500)
	wantIDs(t, ids, 1, 500)
	ids, _ = next(t, late, 50)
	wantIDs(t, ids, 451, 500)
	e.add(300)
	h.Notify() // there is no poll within the hour
	for name, s := range map[string]*stream.Subscription{"all": all, "late": late, "now": now, "ahead": ahead} {
		ids, missed := next(t, s, 300)
		wantIDs(t, ids, 501, 800)
		if missed != 0 || s.Cursor() != 800 {
			t.Errorf("%s: missed %d, at %d", name, missed, s.Cursor())
		}
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	e := &events{}
	h := hub(t, stream.Config{Events: e, Poll: time.Millisecond})
	odd, both := subscribe(t, h, 0, stream.Filter{Kinds: []string{"odd", "other"}}), subscribe(t, h, 0, stream.Filter{Kinds: []string{"odd"}, Subject: "s0"})
	e.add(30)
	if ids, _ := next(t, odd, 15); ids[0] != 1 || ids[14] != 29 {
		t.Error(ids)
	}
	if ids, _ := next(t, both, 5); ids[0] != 3 || ids[4] != 27 {
		t.Error(ids)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := both.Next(ctx); !errors.Is(err, context.DeadlineExceeded) || both.Cursor() != 30 {
		t.Errorf("%v at %d", err, both.Cursor())
	}
	e.add(3)
	if ids, _ := next(t, both, 1); ids[0] != 33 {
		t.Error(ids)
	}
}

// TestMissed: what retention deleted is counted, whether it was before, between or all there was.
func TestMissed(t *testing.T) {
	t.Parallel()
	e := &events{}
	e.add(100)
	e.forget(40)
	h := hub(t, stream.Config{Events: e, Poll: time.Hour})
	s := subscribe(t, h, 10, stream.Filter{})
	ids, missed := next(t, s, 40)
	wantIDs(t, ids, 61, 100)
	if missed != 50 {
		t.Errorf("missed %d", missed)
	}
	old := subscribe(t, h, 95, stream.Filter{})
	e.add(100)
	e.forget(50)
	h.Notify()
	ids, missed = next(t, s, 50)
	wantIDs(t, ids, 151, 200)
	if missed != 50 {
		t.Errorf("missed %d", missed)
	}
	ids, missed = next(t, old, 50)
	wantIDs(t, ids, 151, 200)
	if missed != 55 {
		t.Errorf("missed %d", missed)
	}
	e.forget(0)
	fresh := hub(t, stream.Config{Events: e})
	if batch, err := subscribe(t, fresh, 190, stream.Filter{}).Next(t.Context()); err != nil || batch.Missed != 10 || len(batch.Events) != 0 {
		t.Errorf("%+v, %v", batch, err)
	}
}

func TestSlowIsCut(t *testing.T) {
	t.Parallel()
	e := &events{}
	var now atomic.Int64
	h := hub(t, stream.Config{Events: e, Poll: time.Millisecond, Keep: 10, Patience: time.Minute, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	slow, quick := subscribe(t, h, 0, stream.Filter{}), subscribe(t, h, 0, stream.Filter{})
	e.add(1)
	next(t, slow, 1)
	next(t, quick, 1)
	e.add(500) // a burst, of which memory keeps but the end: nobody's fault
	ids, _ := next(t, quick, 500)
	wantIDs(t, ids, 2, 501)
	now.Add(60)
	ids, _ = next(t, slow, 200)
	wantIDs(t, ids, 2, 201)
	now.Add(1)
	if _, err := slow.Next(t.Context()); !errors.Is(err, stream.ErrSlow) {
		t.Fatal(err)
	}
	again := subscribe(t, h, slow.Cursor(), stream.Filter{})
	ids, missed := next(t, again, 300)
	wantIDs(t, ids, 202, 501)
	if missed != 0 {
		t.Errorf("missed %d", missed)
	}
}

func TestBoundsAndEnd(t *testing.T) {
	t.Parallel()
	e := &events{}
	h := hub(t, stream.Config{Events: e, Clients: 2})
	first, second := subscribe(t, h, 0, stream.Filter{}), subscribe(t, h, 0, stream.Filter{})
	if _, err := h.Subscribe(t.Context(), 0, stream.Filter{}); !errors.Is(err, stream.ErrFull) {
		t.Error(err)
	}
	first.Close()
	first.Close()
	third := subscribe(t, h, 0, stream.Filter{})
	ended := make(chan error, 1)
	go func() { _, err := second.Next(context.Background()); ended <- err }()
	h.Close()
	if err := <-ended; !errors.Is(err, stream.ErrClosed) {
		t.Error(err)
	}
	if _, err := third.Next(t.Context()); !errors.Is(err, stream.ErrClosed) {
		t.Error(err)
	}
	if _, err := h.Subscribe(t.Context(), 0, stream.Filter{}); !errors.Is(err, stream.ErrClosed) {
		t.Error(err)
	}
}

// TestIdle: while nobody listens, the store is left alone.
func TestIdle(t *testing.T) {
	t.Parallel()
	e := &events{}
	h := hub(t, stream.Config{Events: e, Poll: time.Millisecond})
	s := subscribe(t, h, 0, stream.Filter{})
	e.add(5)
	next(t, s, 5)
	s.Close()
	e.add(5)
	time.Sleep(20 * time.Millisecond) // nothing to wait for: that nothing happens is the point
	e.mu.Lock()
	before := e.reads
	e.mu.Unlock()
	time.Sleep(20 * time.Millisecond)
	e.mu.Lock()
	after := e.reads
	e.mu.Unlock()
	if after != before {
		t.Errorf("%d reads for nobody", after-before)
	}
	ids, _ := next(t, subscribe(t, h, 5, stream.Filter{}), 5)
	wantIDs(t, ids, 6, 10)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	e := &events{}
	broken := crisol.Errorf(crisol.KindInfrastructure, "the database is away")
	h := hub(t, stream.Config{Events: e, Poll: time.Millisecond, Keep: 1})
	s := subscribe(t, h, 0, stream.Filter{})
	e.add(1)
	next(t, s, 1)
	e.fail(broken)
	if _, err := h.Subscribe(t.Context(), 0, stream.Filter{}); !errors.Is(err, broken) {
		t.Error(err)
	}
	time.Sleep(5 * time.Millisecond)
	e.fail(nil)
	e.add(1)
	ids, _ := next(t, s, 1) // who was there waits until it is over
	wantIDs(t, ids, 2, 2)
	e.add(5)
	next(t, s, 5)
	late := subscribe(t, h, 0, stream.Filter{})
	e.fail(broken)
	if _, err := late.Next(t.Context()); !errors.Is(err, broken) { // who catches up can't
		t.Error(err)
	}
}

// serve answers over HTTP, as api does.
func serve(t *testing.T, h *stream.Hub, after int64) *httptest.Server {
	t.Helper()
	var ended sync.WaitGroup
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ended.Add(1)
		defer ended.Done()
		s, err := h.Subscribe(r.Context(), after, stream.Filter{})
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		defer s.Close()
		if r.URL.Path == "/ws" {
			_ = s.ServeWebSocket(w, r)
		} else {
			_ = s.ServeSSE(w, r)
		}
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close(); ended.Wait() })
	return server
}

// message is one server-sent event.
type message struct{ id, event, data, comment string }

// read reads server-sent events, as the HTML standard has it.
func read(t *testing.T, r *bufio.Reader) message {
	t.Helper()
	var m message
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %+v", err, m)
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "\n":
			return m
		case field == "":
			m.comment = value
		case field == "id":
			m.id = value
		case field == "event":
			m.event = value
		case field == "data":
			m.data = value
		}
	}
}

func listen(t *testing.T, url string) *bufio.Reader {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(response.Status, response.Header)
	}
	return bufio.NewReader(response.Body)
}

func TestSSE(t *testing.T) {
	t.Parallel()
	e := &events{}
	e.add(3)
	e.forget(2)
	h := hub(t, stream.Config{Events: e, Poll: time.Millisecond, Heartbeat: 20 * time.Millisecond})
	r := listen(t, serve(t, h, 0).URL)
	read(t, r) // retry
	if m := read(t, r); m.event != "notice" || m.id != "" || m.data != `{"notice":"missed","detail":"1 events are no longer kept","after":1}` {
		t.Errorf("%+v", m)
	}
	want := message{id: "2", event: "even", data: `{"id":2,"at":"2026-03-04T12:00:00Z","kind":"even","subject":"s2","body":{"line":"one\ntwo"}}`}
	if m := read(t, r); m != want {
		t.Errorf("%+v", m)
	}
	read(t, r)
	if m := read(t, r); m != (message{id: "3", comment: "heartbeat"}) {
		t.Errorf("%+v", m)
	}
	h.Close()
	for m := read(t, r); m.event != "notice" || !strings.Contains(m.data, "closing"); m = read(t, r) {
		if m.comment != "heartbeat" {
			t.Fatalf("%+v", m)
		}
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// dial opens a WebSocket, and returns the status that the handshake was answered with.
func dial(t *testing.T, server *httptest.Server, header http.Header) (*websocket.Conn, int) {
	t.Helper()
	conn, response, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http")+"/ws", &websocket.DialOptions{HTTPHeader: header})
	if response == nil {
		t.Fatal(err)
	}
	if response.Body != nil {
		_ = response.Body.Close()
	}
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return conn, response.StatusCode
}

func hear(t *testing.T, conn *websocket.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	kind, text, err := conn.Read(ctx)
	if err != nil || kind != websocket.MessageText {
		t.Fatal(kind, err)
	}
	return string(text)
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	e := &events{}
	h := hub(t, stream.Config{Events: e, Poll: time.Millisecond, Heartbeat: 5 * time.Second})
	server := serve(t, h, 0)
	conn, _ := dial(t, server, nil)
	e.add(1)
	if text := hear(t, conn); text != `{"id":1,"at":"2026-03-04T12:00:00Z","kind":"odd","subject":"s1","body":{"line":"one\ntwo"}}` {
		t.Error(text)
	}
	talking, _ := dial(t, server, nil)
	if err := talking.Write(t.Context(), websocket.MessageText, []byte("delete everything")); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		_, _, err = talking.Read(t.Context())
	}
	if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("who talks: %v", err)
	}
	if _, status := dial(t, server, http.Header{"Origin": {"http://evil.example"}}); status != http.StatusForbidden {
		t.Errorf("another origin: %d", status)
	}
	h.Close()
	if text := hear(t, conn); !strings.Contains(text, `"notice":"closing"`) || !strings.Contains(text, `"after":1`) {
		t.Error(text)
	}
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the end: %v", err)
	}
}

// TestDeadWebSocket: a client that answers no ping is let go.
func TestDeadWebSocket(t *testing.T) {
	t.Parallel()
	h := hub(t, stream.Config{Events: &events{}, Heartbeat: 20 * time.Millisecond, Clients: 1})
	server := serve(t, h, 0)
	conn, _ := dial(t, server, nil) // pongs are sent by Read, and nobody calls it
	defer func() { _ = conn.CloseNow() }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s, err := h.Subscribe(t.Context(), 0, stream.Filter{})
		if err == nil {
			s.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it still listens")
		}
	}
}

// TestSlowReaders: clients that stop reading are told and cut while the others go on.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	e := &events{pad: 32 << 10}
	h := hub(t, stream.Config{Events: e, Poll: time.Millisecond, Keep: 50, Patience: time.Nanosecond, WriteFor: 20 * time.Second})
	server := serve(t, h, 0)
	stuck, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	fmt.Fprintf(stuck, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	first, err := bufio.NewReaderSize(stuck, 16).ReadByte() // it is being served
	if err != nil || first != 'H' {
		t.Fatal(first, err)
	}
	quick := subscribe(t, h, stream.FromNow, stream.Filter{})
	for got := int64(0); got < 1_000; { // 32 MB, more than the buffers of a connection hold
		e.add(40)
		ids, _ := next(t, quick, 40)
		got = ids[len(ids)-1]
		e.forget(100)
	}
	all, err := io.ReadAll(stuck)
	if err != nil || !strings.Contains(string(all), `"notice":"slow"`) {
		t.Errorf("%v; %d bytes, the last of them %q", err, len(all), string(all[max(0, len(all)-300):]))
	}
}

// TestRealStore: the numbers of a real database, written by two, read by many.
func TestRealStore(t *testing.T) {
	t.Parallel()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "crisol.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h := hub(t, stream.Config{Events: st.Events(), Poll: time.Millisecond, Keep: 16})
	t.Cleanup(func() {
		h.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	const writers, each = 2, 50
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range each {
				if _, err := st.Events().Append(t.Context(), []store.Event{{At: time.Now(), Kind: "k", Subject: fmt.Sprint(w), Body: json.RawMessage(fmt.Sprint(n))}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 4 {
		all.Go(func() {
			var got []int64
			for cursor := int64(0); len(got) < writers*each; { // cut or not, each comes back until it has all
				s, err := h.Subscribe(t.Context(), cursor, stream.Filter{})
				if err != nil {
					t.Error(err)
					return
				}
				for err == nil && len(got) < writers*each {
					var batch stream.Batch
					batch, err = s.Next(t.Context())
					for _, e := range batch.Events {
						got = append(got, e.ID)
					}
				}
				cursor = s.Cursor()
				s.Close()
				if err != nil && !errors.Is(err, stream.ErrSlow) {
					t.Error(err)
					return
				}
			}
			wantIDs(t, got, 1, writers*each)
		})
	}
	all.Wait()
}
