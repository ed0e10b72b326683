package revise_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river/riverdriver/riversqlite"

	"crisol"
	"crisol/internal/jobs"
	"crisol/internal/revise"
	"crisol/internal/store"
	"crisol/internal/store/sqlite"
)

const today, before = "digest of today", "digest of before"

// bench is a real store and a real queue, whose wargames find what a test says about each patch.
type bench struct {
	*testing.T
	store  *sqlite.Store
	queue  *jobs.Queue
	worker string // the version of the scenario that wargames are held with
	finds  map[string]func() (crisol.Validation, error)

	mu      sync.Mutex // guards what follows
	fought  []string   // patches, in their order
	forgot  []string   // APVs
	refused map[string]error
}

// Check implements jobs.Validator.
func (b *bench) Check(_ context.Context, r crisol.Request) (store.Accepted, error) {
	return store.Accepted{ScenarioID: r.ScenarioID, ScenarioDigest: today, PatchDigest: r.PatchDiff, Normalised: r}, b.refused[r.PatchDiff]
}

// Run implements jobs.Validator.
func (b *bench) Run(_ context.Context, s store.Submission) (jobs.Outcome, error) {
	b.mu.Lock()
	b.fought = append(b.fought, s.PatchDigest)
	b.mu.Unlock()
	if s.Normalised.MinAssurance != crisol.A0 || s.Client != revise.Client || s.Priority != revise.Priority {
		b.Errorf("asked for %+v", s)
	}
	v, err := b.finds[s.PatchDigest]()
	v.ScenarioID, v.ScenarioDigest, v.PatchDigest, v.Method = s.ScenarioID, b.worker, s.PatchDigest, crisol.MethodWargaming
	return jobs.Outcome{Validation: v}, err
}

func found(v crisol.Verdict, a crisol.Assurance) func() (crisol.Validation, error) {
	return func() (crisol.Validation, error) {
		return crisol.Validation{Verdict: v, PatchValidated: v == crisol.Fixed, Assurance: a, Reason: "so it is"}, nil
	}
}

// broke is a wargame that infrastructure kept from telling.
func broke() (crisol.Validation, error) {
	fault := crisol.Errorf(crisol.KindInfrastructure, "the disk is full")
	return crisol.Validation{Verdict: crisol.Inconclusive, Wargame: &crisol.WargameResult{Status: crisol.WargameError, Infrastructure: fault.Error()}}, fault
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, worker: today, finds: map[string]func() (crisol.Validation, error){}, refused: map[string]error{}}
	logger := slog.New(slog.DiscardHandler)
	var err error
	if b.store, err = sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "crisol.db"), logger); err != nil {
		t.Fatal(err)
	}
	b.queue, err = jobs.New(riversqlite.New(b.store.DB()), jobs.Config{Store: b.store, Validator: b, Workers: 2, Sole: true, Attempts: 2, Logger: logger,
		Backoff: func(int) time.Duration { return time.Millisecond }})
	if err == nil {
		err = b.queue.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.queue.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		_ = b.store.Close()
	})
	return b
}

func (b *bench) reviser() *revise.Reviser {
	return &revise.Reviser{
		History: b.store, Queue: b.queue, Settings: b.store.Settings(), Versions: map[string]string{"s": today}, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Parallel: 2,
		Forget: func(_ context.Context, apv string) { b.mu.Lock(); b.forgot = append(b.forgot, apv); b.mu.Unlock() },
	}
}

var ids atomic.Int64

// verdict keeps a verdict of before.
func (b *bench) verdict(patch string, v crisol.Verdict, change func(*store.Entry)) string {
	b.Helper()
	n := ids.Add(1)
	at := time.Now().UTC().Truncate(time.Microsecond)
	id := fmt.Sprintf("00000000-0000-7000-8000-%012d", n)
	e := store.Entry{FinishedAt: at, Submission: store.Submission{ID: id, CreatedAt: at, Mode: store.ModeValidate, Accepted: store.Accepted{
		ScenarioID: "s", ScenarioDigest: before, PatchDigest: patch, Normalised: crisol.Request{APVID: "apv " + patch, CVEID: "CVE-1", PatchDiff: patch},
	}}, Validation: &crisol.Validation{ID: id, APVID: "apv " + patch, ScenarioID: "s", ScenarioDigest: before, PatchDigest: patch, Verdict: v,
		PatchValidated: v == crisol.Fixed, Method: crisol.MethodWargaming, CreatedAt: at}}
	if change != nil {
		change(&e)
	}
	if err := b.store.Record(b.Context(), []store.Entry{e}); err != nil {
		b.Fatal(err)
	}
	return id
}

func (b *bench) pass(r *revise.Reviser) error {
	b.Helper()
	if err := r.Claim(b.Context()); err != nil {
		b.Fatal(err)
	}
	return r.Pass(b.Context())
}

func (b *bench) get(id string) store.Record {
	b.Helper()
	record, err := b.store.Get(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	return record
}

// TestJudgedAnew: what stands is superseded, what doesn't is revoked, and whoever wanted to know is told.
func TestJudgedAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for patch, f := range map[string]func() (crisol.Validation, error){
		"good": found(crisol.Fixed, crisol.A3), "bypassed": found(crisol.NotFixed, crisol.A0), "vague": found(crisol.Inconclusive, crisol.A0), "model's": found(crisol.Fixed, crisol.A2),
	} {
		b.finds[patch] = f
	}
	b.refused["stale"] = crisol.Errorf(crisol.KindInput, "hunk 1 doesn't apply")
	hook := func(e *store.Entry) { e.Submission.Webhook = "https://example.org/hook" }
	stands := []string{
		b.verdict("good", crisol.Fixed, nil), b.verdict("good", crisol.Fixed, hook),
		b.verdict("model's", crisol.Fixed, func(e *store.Entry) { e.Validation.Method = crisol.MethodML }),
	}
	revoked := map[string]crisol.Verdict{
		b.verdict("bypassed", crisol.Fixed, hook): crisol.NotFixed,
		b.verdict("vague", crisol.Fixed, nil):     crisol.Inconclusive,
		b.verdict("stale", crisol.Fixed, nil):     "",
		b.verdict("good", crisol.Fixed, func(e *store.Entry) { e.Submission.Normalised.MinAssurance = crisol.A4 }): crisol.Fixed,
	}
	alone := []string{
		b.verdict("good", crisol.Fixed, func(e *store.Entry) { e.Submission.ScenarioDigest, e.Validation.ScenarioDigest = today, today }),
		b.verdict("vague", crisol.Inconclusive, nil),
	}
	if err := b.pass(b.reviser()); err != nil {
		t.Fatal(err)
	}
	for _, id := range stands {
		r := b.get(id)
		if by := b.get(r.SupersededBy); r.Revoked || by.Verdict != r.Verdict || by.ScenarioDigest != today || by.PatchDigest != r.PatchDigest {
			t.Errorf("%+v by %+v", r.Row, by.Row)
		}
	}
	for id, now := range revoked {
		r := b.get(id)
		if !r.Revoked || r.RevokedReason == "" || r.RevokedAt.IsZero() || r.Verdict != crisol.Fixed || (r.SupersededBy == "") != (now == "") {
			t.Errorf("%+v", r.Row)
		}
		if now != "" && b.get(r.SupersededBy).Verdict != now {
			t.Errorf("%+v", r.Row)
		}
	}
	for _, id := range alone {
		if r := b.get(id); r.Revoked || r.SupersededBy != "" {
			t.Errorf("%+v", r.Row)
		}
	}
	// "good" was fought over under today's version already: nobody fights twice.
	if len(b.fought) != 3 || len(b.forgot) != len(revoked) {
		t.Errorf("fought over %v, forgot %v", b.fought, b.forgot)
	}
	b.told(revoked)
	if err := b.pass(b.reviser()); err != nil || len(b.fought) != 3 {
		t.Errorf("a second pass: %v, fought over %v", err, b.fought)
	}
}

// told checks the events and the messages.
func (b *bench) told(revoked map[string]crisol.Verdict) {
	b.Helper()
	events, err := b.store.Events().After(b.Context(), 0, 100)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, e := range events {
		if e.Kind != revise.EventRevoked {
			continue
		}
		n++
		var told revise.Revoked
		now, known := revoked[e.Subject]
		if err := json.Unmarshal(e.Body, &told); err != nil || !known || told.Was != crisol.Fixed || now != "" && told.Verdict != now || told.Reason == "" {
			b.Errorf("%+v, %v", told, err)
		}
	}
	due, err := b.store.Deliveries().Due(b.Context(), time.Now().Add(time.Hour), time.Now().Add(2*time.Hour), 10)
	if n != len(revoked) || err != nil || len(due) != 1 || due[0].Kind != revise.EventRevoked || due[0].URL != "https://example.org/hook" {
		b.Errorf("%d events, %+v, %v", n, due, err)
	}
}

// TestInfrastructure: a wargame that could not tell for no fault of the patch revokes nothing, and is held again later.
func TestInfrastructure(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.finds["p"] = broke
	id := b.verdict("p", crisol.Fixed, nil)
	r := b.reviser()
	for range 2 { // not again at once
		if err := b.pass(r); crisol.KindOf(err) != crisol.KindInfrastructure {
			t.Fatal(err)
		}
	}
	if row := b.get(id); row.Revoked || row.SupersededBy != "" || len(b.fought) != 2 { // the attempts of one trial
		t.Fatalf("%+v, fought over %v", row.Row, b.fought)
	}
	b.finds["p"] = found(crisol.Fixed, crisol.A1)
	r.Later = time.Nanosecond
	if err := b.pass(r); err != nil || b.get(id).SupersededBy == "" {
		t.Errorf("%v, %+v", err, b.get(id).Row)
	}
}

// TestOthersVersion: a worker that still has the version of before judges by it: that is no answer, and nothing is revoked.
func TestOthersVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.worker, b.finds["p"] = before, found(crisol.NotFixed, crisol.A0)
	id := b.verdict("p", crisol.Fixed, nil)
	r := b.reviser()
	if err := b.pass(r); crisol.KindOf(err) != crisol.KindInfrastructure || b.get(id).Revoked {
		t.Fatalf("%v, %+v", err, b.get(id).Row)
	}
	b.worker = today
	if err := b.pass(r); err != nil || !b.get(id).Revoked {
		t.Errorf("%v, %+v", err, b.get(id).Row)
	}
	rows, err := b.store.BasedOn(t.Context(), "s", today, "", 10)
	if err != nil || len(rows) != 0 {
		t.Errorf("what the other worker said is judged anew too: %+v, %v", rows, err)
	}
	// A service with the version of before that runs on leaves verdicts alone.
	old := b.reviser()
	old.Versions = map[string]string{"s": before}
	fought := len(b.fought)
	if err := old.Pass(t.Context()); err != nil || len(b.fought) != fought {
		t.Errorf("%v, fought over %v", err, b.fought)
	}
}

// TestResumes: what was asked for before the process ended is waited for, and not asked again.
func TestResumes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release, begun := make(chan struct{}), make(chan struct{})
	b.finds["p"] = func() (crisol.Validation, error) {
		close(begun)
		<-release
		return found(crisol.Broken, crisol.A0)()
	}
	id := b.verdict("p", crisol.Fixed, nil)
	dying, die := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { b.reviser().Run(dying); close(done) }()
	<-begun
	die()
	<-done
	passed := make(chan error)
	go func() { passed <- b.pass(b.reviser()) }()
	close(release)
	if err := <-passed; err != nil || !b.get(id).Revoked || len(b.fought) != 1 {
		t.Errorf("%v, %+v, fought over %v", err, b.get(id).Row, b.fought)
	}
}
