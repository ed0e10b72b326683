// Command service measures what an answer of the service costs beside a bare net/http server that reads the same body
// and writes an answer of the same size: requests served from the cache, requests that the model decides anew, and four
// of the first to one of the second. Everything is on: A/B testing, the journal, logs (formatted, and thrown away).
//
//	go run ./bench/service [-rounds 5] [-for 2s] [-clients 16]
//
// Server and clients share this machine's cores, in one process. What is compared runs interleaved, in one run; quote the
// ratios. Latencies are of a closed loop: each client sends its next request when it has the answer. The CPU of a request
// is the process's, user and system, the client's part and what is written behind the answer included: it says what a
// request costs on a machine that others use as well.
//
// A service that is asked more than it can do refuses, at once, what would wait too long: refused requests are counted by
// themselves, and their clients pause.
//
// No two misses are the same patch. They change the same file of the same scenario in the same place, and each makes
// another text of it; in "misses + file" all make the same text, and each adds a file of its own.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/diff"
	"crisol/internal/policy"
	"crisol/internal/scenario"
	"crisol/internal/validate"
	"crisol/internal/wargame"
)

func main() {
	app.Referee()
	o := options{}
	flag.StringVar(&o.data, "data", ".cache/bench", "data directory")
	flag.StringVar(&o.scenario, "scenario", "CVE-2020-7598", "scenario whose reference fix is the patch")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each measurement")
	flag.DurationVar(&o.length, "for", 2*time.Second, "length of each measurement")
	flag.IntVar(&o.clients, "clients", 16, "clients at once")
	flag.StringVar(&o.only, "only", "", "measure this alone")
	flag.StringVar(&o.profile, "profile", "", "write a CPU profile here")
	flag.Parse()
	if err := run(context.Background(), o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

type options struct {
	data, scenario string
	rounds         int
	length         time.Duration
	clients        int
	only, profile  string
}

// sure is the model's own work, with a confidence that decides whatever it makes of the patch: so that each miss is one
// of the model, and not a wargame.
type sure struct{ validate.Predictor }

func (s sure) Predict(sc *scenario.Scenario, files []diff.Touched) (validate.Opinion, error) {
	o, err := s.Predictor.Predict(sc, files)
	o.Prediction.Probability, o.Prediction.Valid = 0.95, true
	return o, err
}

func run(ctx context.Context, o options, out io.Writer) error {
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	data, err := os.MkdirTemp("", "crisol-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(data) }()
	a, err := app.Open(ctx, app.Config{Data: data, Rule: policy.Threshold, Log: log, Workers: 1})
	if err != nil {
		return err
	}
	defer a.Close()
	s, err := a.OpenService(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close(ctx) }()
	a.Flow.Predictor = sure{a.Flow.Predictor}
	patch, err := reference(ctx, a, o.scenario)
	if err != nil {
		return err
	}
	service, err := listen(s.Handler())
	if err != nil {
		return err
	}
	defer service.close()
	request := requests{o.scenario, patch}
	answer, err := post(service.url+path, request.body(0))
	if err != nil {
		return err
	}
	if !bytes.Contains(answer, []byte(`"validation_method":"ml"`)) {
		return fmt.Errorf("the model doesn't decide: %s", answer)
	}
	bare, err := listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}))
	if err != nil {
		return err
	}
	defer bare.close()
	if _, err := post(service.url+"/wargaming/ab-testing/enable", nil); err != nil {
		return err
	}
	var n atomic.Int64
	hit := request.body(0)
	miss := func() []byte { return request.body(n.Add(1)) }
	added := func() []byte { return request.adding(n.Add(1)) }
	things := []*measured{
		{name: "bare net/http", url: bare.url + path, body: func(int) []byte { return hit }},
		{name: "hits", url: service.url + path, body: func(int) []byte { return hit }},
		{name: "misses", url: service.url + path, body: func(int) []byte { return miss() }},
		{name: "misses + file", url: service.url + path, body: func(int) []byte { return added() }},
		{name: "80 % hits", url: service.url + path, body: func(i int) []byte {
			if i%5 == 4 {
				return miss()
			}
			return hit
		}},
	}
	if o.profile != "" {
		file, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for range o.rounds {
		for _, m := range things {
			if o.only != "" && m.name != o.only {
				continue
			}
			if err := m.round(o); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	_, _ = fmt.Fprintf(out, "POST %s, body of %d bytes, answer of %d, %d clients (median of %d rounds of %s, interleaved)\n", path, len(hit), len(answer), o.clients, o.rounds, o.length)
	for _, m := range things {
		if len(m.rates) == 0 {
			continue
		}
		against := ""
		if len(things[0].rates) > 0 {
			against = fmt.Sprintf("%.3f of bare", m.rate()/things[0].rate())
		}
		_, _ = fmt.Fprintf(out, "  %-14s %8.0f requests/s  %-13s  CPU %8s  p50 %8s  p95 %8s  p99 %8s  refused %d\n", m.name, m.rate(), against, m.each(), m.quantile(0.5), m.quantile(0.95), m.quantile(0.99), m.refused.Load())
	}
	return nil
}

const path = "/wargaming/ml-first"

// reference is what the scenario's own fix makes of the largest file that it touches, as a diff. One line more, at the end
// of the file, holds mark.
func reference(ctx context.Context, a *app.App, id string) (string, error) {
	s, err := scenario.Open(id)
	if err != nil {
		return "", err
	}
	files, err := a.Arena.Touched(ctx, s, wargame.Candidate{Reference: &s.Target.Reference, LockSide: "reference"})
	if err != nil {
		return "", err
	}
	var main diff.Touched
	for _, f := range files {
		if f.Before != nil && len(f.After) > len(main.After) && strings.HasSuffix(f.Path, ".js") && !strings.Contains(f.Path, "test") {
			main = f
		}
	}
	before := map[string]string{main.Path: string(main.Before)}
	after := map[string]string{main.Path: strings.TrimSuffix(string(main.After), "\n") + "\nmodule.exports.turn = " + mark + ";\n"}
	return diff.Between(before, after).String(), nil
}

// mark is where a patch has the number of the request.
const mark = "8675309"

// requests makes bodies that differ in the patch.
type requests struct{ scenario, patch string }

// body differs in the text of the file that is patched.
func (r requests) body(n int64) []byte {
	return r.of(strings.Replace(r.patch, mark, fmt.Sprintf("%07d", n), 1))
}

// adding differs in a file beside the one that is patched.
func (r requests) adding(n int64) []byte {
	return r.of(r.patch + fmt.Sprintf("--- /dev/null\n+++ b/extra.js\n@@ -0,0 +1 @@\n+module.exports = %d\n", n))
}

func (r requests) of(patch string) []byte {
	text, err := json.Marshal(crisol.Request{APVID: "apv-bench", ScenarioID: r.scenario, PatchID: "p", PatchDiff: patch})
	if err != nil {
		panic(err) // strings always marshal
	}
	return text
}

type server struct {
	url   string
	close func()
}

func listen(h http.Handler) (server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return server{}, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	return server{"http://" + l.Addr().String(), func() { _ = s.Close() }}, nil
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}}

// errRefused is what a service says that is asked more than it can do.
var errRefused = errors.New("refused")

// pause is how long a client leaves a service alone that refused it.
const pause = 50 * time.Millisecond

func post(url string, body []byte) ([]byte, error) {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if response.StatusCode == http.StatusServiceUnavailable {
		return nil, errRefused
	}
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, answer)
	}
	return answer, err
}

// measured is one kind of request.
type measured struct {
	name, url string
	body      func(i int) []byte
	rates     []float64
	took      []time.Duration
	cpu       time.Duration // of all rounds
	refused   atomic.Int64
}

// round sends requests for a while.
func (m *measured) round(o options) error {
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed error
	begun, worked, done := time.Now(), spent(), 0
	for range o.clients {
		group.Go(func() {
			var took []time.Duration
			for i := 0; time.Since(begun) < o.length; i++ {
				sent := time.Now()
				_, err := post(m.url, m.body(i))
				if errors.Is(err, errRefused) {
					m.refused.Add(1)
					time.Sleep(pause)
					continue
				}
				took = append(took, time.Since(sent))
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
			}
			mu.Lock()
			defer mu.Unlock()
			m.took, done = append(m.took, took...), done+len(took)
		})
	}
	group.Wait()
	m.cpu += spent() - worked
	m.rates = append(m.rates, float64(done)/time.Since(begun).Seconds())
	return failed
}

func (m *measured) rate() float64 {
	return slices.Sorted(slices.Values(m.rates))[len(m.rates)/2]
}

// each is the CPU of one request.
func (m *measured) each() time.Duration {
	return (m.cpu / time.Duration(max(len(m.took), 1))).Round(time.Microsecond)
}

// spent is the CPU that this process has used so far.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (m *measured) quantile(q float64) time.Duration {
	slices.Sort(m.took)
	return m.took[int(q*float64(len(m.took)-1))].Round(10 * time.Microsecond)
}
