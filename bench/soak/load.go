package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// accepted is a request that was answered 200 or 202, which is a promise.
type accepted struct {
	verdict string // the right one
	trial   bool
}

// load asks, and keeps what callers see.
type load struct {
	cluster *cluster
	client  *http.Client
	next    atomic.Int64 // numbers requests that were never asked before

	mu       sync.Mutex // guards what follows
	promised map[string]accepted
	newest   []string // some of the ids promised
	seen     Seen
}

func newLoad(c *cluster) *load {
	return &load{
		cluster: c, promised: map[string]accepted{}, seen: Seen{Kinds: map[string]int{}},
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 20}},
	}
}

// run asks from several clients until ctx is done. What is under way then is still waited for.
func (l *load) run(ctx context.Context, seed uint64) {
	var clients sync.WaitGroup
	for i := range uint64(3) {
		clients.Go(func() {
			luck := rand.New(rand.NewPCG(seed, i)) //nolint:gosec // what is asked need not be a secret
			for ctx.Err() == nil {
				l.ask(context.WithoutCancel(ctx), l.choose(luck))
				sleep(ctx, 40*time.Millisecond)
			}
		})
	}
	for range 2 {
		clients.Go(func() {
			for ctx.Err() == nil {
				l.ask(context.WithoutCancel(ctx), fought(int(l.next.Add(1))))
				sleep(ctx, time.Second)
			}
		})
	}
	clients.Wait()
	l.client.CloseIdleConnections()
}

// choose mixes what costs little.
func (l *load) choose(luck *rand.Rand) question {
	switch n := luck.IntN(10); {
	case n < 3:
		return repeated(luck.IntN(20))
	case n < 5:
		return decided(int(l.next.Add(1)) + 1000) // numbers below belong to those that are repeated
	default:
		l.mu.Lock()
		id := ""
		if len(l.newest) > 0 {
			id = l.newest[luck.IntN(len(l.newest))]
		}
		l.mu.Unlock()
		return look(luck, id)
	}
}

// answer is what a caller sees.
type answer struct {
	status int
	header http.Header
	body   struct {
		ID      string `json:"validation_id"`
		State   string `json:"state"`
		Verdict string `json:"verdict"`
	}
	text []byte
}

// call sends a request and reads its answer.
func (l *load) call(ctx context.Context, q question) (a answer, err error) {
	var body io.Reader
	if q.body != nil {
		content, err := json.Marshal(q.body)
		if err != nil {
			return a, err
		}
		body = bytes.NewReader(content)
	}
	request, err := http.NewRequestWithContext(ctx, q.method, l.cluster.base+q.path, body)
	if err != nil {
		return a, err
	}
	if q.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := l.client.Do(request)
	if err != nil {
		return a, err
	}
	defer func() { _ = response.Body.Close() }()
	a.status, a.header = response.StatusCode, response.Header
	if a.text, err = io.ReadAll(response.Body); err != nil {
		return a, err
	}
	return a, json.Unmarshal(a.text, &a.body)
}

// ask sends a request and judges what comes back.
func (l *load) ask(ctx context.Context, q question) {
	before := l.cluster.outages.Load()
	begun := time.Now()
	a, err := l.call(ctx, q)
	after := l.cluster.outages.Load()
	dead := before != after || before%2 == 1
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.seen
	s.Requests++
	s.Kinds[q.kind]++
	switch {
	case err != nil && dead:
		s.Severed++
	case err != nil:
		s.fail(begun, q, err.Error())
	case (a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable) && a.header.Get("Retry-After") != "":
		s.refuse(a.status)
	case a.status != http.StatusOK && a.status != http.StatusAccepted && a.status != q.also:
		s.fail(begun, q, fmt.Sprintf("%d %.200s", a.status, a.text))
	case q.verdict != "":
		l.keep(q, a)
	}
}

// keep holds an answer against what is known of it.
func (l *load) keep(q question, a answer) {
	if a.body.ID == "" || a.status == http.StatusOK && a.body.Verdict == "" {
		l.seen.Wrong = append(l.seen.Wrong, fmt.Sprintf("%s: an answer without id or verdict: %.200s", q.kind, a.text))
		return
	}
	if a.status == http.StatusOK {
		l.seen.judge(q.kind+" "+a.body.ID, a.body.Verdict, accepted{q.verdict, q.trial})
	}
	if _, known := l.promised[a.body.ID]; known && !q.known {
		l.seen.Wrong = append(l.seen.Wrong, fmt.Sprintf("%s: %s answers two requests", q.kind, a.body.ID))
	}
	l.promised[a.body.ID] = accepted{q.verdict, q.trial}
	if len(l.newest) == 100 {
		l.newest = l.newest[1:]
	}
	l.newest = append(l.newest, a.body.ID)
}

// settle waits until all that was promised is there, and holds each verdict against the right one.
func (l *load) settle(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	l.seen.Accepted = len(l.promised)
	for id, want := range l.promised {
		for {
			a, err := l.call(ctx, question{method: http.MethodGet, path: "/wargaming/validations/" + id})
			if err == nil && a.status == http.StatusOK && a.body.State == "finished" {
				l.seen.Answered++
				if want.trial {
					l.seen.Trials++
				}
				l.seen.judge(id, a.body.Verdict, want)
				break
			}
			if ctx.Err() != nil {
				l.seen.Lost = append(l.seen.Lost, fmt.Sprintf("%s: %d %.200s %v", id, a.status, a.text, err))
				break
			}
			sleep(ctx, 100*time.Millisecond)
		}
	}
	l.client.CloseIdleConnections()
}
