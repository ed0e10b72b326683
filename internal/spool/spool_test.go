package spool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"crisol"
	"crisol/internal/spool"
	"crisol/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// database is a store.Recorder in memory that can be away.
type database struct {
	mu      sync.Mutex
	rows    map[string]store.Entry
	order   []string
	batches int
	fault   func([]store.Entry) error
	changed chan struct{}
}

func newDatabase() *database {
	return &database{rows: map[string]store.Entry{}, changed: make(chan struct{}, 1)}
}

func (d *database) Record(_ context.Context, entries []store.Entry) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer func() {
		select {
		case d.changed <- struct{}{}:
		default:
		}
	}()
	d.batches++
	if d.fault != nil {
		if err := d.fault(entries); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if _, there := d.rows[e.Submission.ID]; !there {
			d.rows[e.Submission.ID], d.order = e, append(d.order, e.Submission.ID)
		}
	}
	return nil
}

// until waits for the database to be as wanted.
func (d *database) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for {
		d.mu.Lock()
		ok := is()
		d.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-d.changed:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: %d rows after %d batches", what, len(d.rows), d.batches)
		}
	}
}

func (d *database) break_(fault func([]store.Entry) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = fault
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func entry(n int) store.Entry {
	id := fmt.Sprintf("v%04d", n)
	v := crisol.Validation{ID: id, APVID: "apv", Verdict: crisol.NotFixed, Method: crisol.MethodML, Assurance: crisol.A0, Reason: "line\nfeed", CreatedAt: noon}
	return store.Entry{
		Submission: store.Submission{ID: id, CreatedAt: noon, Mode: store.ModeMLFirst, Accepted: store.Accepted{PatchDigest: "d", Normalised: crisol.Request{APVID: "apv", PatchDiff: "--- a\n\x00é"}}},
		Validation: &v, FinishedAt: noon,
		ABTest: &store.ABTest{ID: "t" + id, ValidationID: id, ModelVersion: "rf_v1", Prediction: crisol.NotFixed, Probability: 0.1, Confidence: 0.9,
			Stratum: store.Confident, Propensity: 0.1, State: store.Pending, CreatedAt: noon},
		Events: []store.Event{{At: noon, Kind: "validation_finished", Subject: id, Key: id}},
	}
}

func open(t *testing.T, dir string, d *database, change ...func(*spool.Options)) *spool.Spool {
	t.Helper()
	o := spool.Options{Recorder: d, Logger: slog.New(slog.DiscardHandler), Every: time.Millisecond}
	for _, c := range change {
		c(&o)
	}
	s, err := spool.Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_ = s.Close(ctx)
	})
	return s
}

func journals(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

var away = crisol.Errorf(crisol.KindInfrastructure, "the database is away")

func TestRecordsInOrderAndForgets(t *testing.T) {
	dir, d := t.TempDir(), newDatabase()
	s := open(t, dir, d, func(o *spool.Options) { o.Batch = 7 })
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 50 {
				if err := s.Put(entry(worker*100 + i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(d.rows) != 200 || len(journals(t, dir)) != 0 {
		t.Errorf("%d rows, left %v", len(d.rows), journals(t, dir))
	}
	last := map[string]string{}
	for _, id := range d.order { // each worker's entries stay in their order
		worker := id[:3]
		if last[worker] > id {
			t.Errorf("%s after %s", id, last[worker])
		}
		last[worker] = id
	}
	if diff := cmp.Diff(entry(7), d.rows["v0007"]); diff != "" {
		t.Error(diff)
	}
	if err := s.Put(entry(1)); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Errorf("after the end: %v", err)
	}
}

// TestSurvivesDeath: what Put took is recorded by the next process, once, whatever the last one came to.
func TestSurvivesDeath(t *testing.T) {
	dir, d := t.TempDir(), newDatabase()
	d.break_(func([]store.Entry) error { return away })
	s := open(t, dir, d)
	for i := range 30 {
		if err := s.Put(entry(i)); err != nil {
			t.Fatal(err)
		}
		if record, ok := s.Get(fmt.Sprintf("v%04d", i)); !ok || record.Validation.Verdict != crisol.NotFixed || record.Request.APVID != "apv" {
			t.Errorf("%+v, %v", record, ok)
		}
	}
	dead := t.TempDir() // what a killed process leaves on the disk
	for _, path := range journals(t, dir) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dead, filepath.Base(path)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	paths := journals(t, dead)
	torn, err := os.OpenFile(paths[len(paths)-1], os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := torn.WriteString(`12345678 {"Submission":{"ID":"v9`); err != nil { // it died while it wrote the next one
		t.Fatal(err)
	}
	_ = torn.Close()
	d.break_(func(entries []store.Entry) error { // the first batches fail after all, as a commit whose answer is lost
		for _, e := range entries {
			d.rows[e.Submission.ID] = e
		}
		d.fault = nil
		return away
	})
	next := open(t, dead, d)
	if n, bytes := next.Waiting(); n != 30 || bytes == 0 {
		t.Errorf("%d wait, %d bytes", n, bytes)
	}
	if err := next.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(d.rows) != 30 || len(journals(t, dead)) != 0 {
		t.Errorf("%d rows, left %v", len(d.rows), journals(t, dead))
	}
	if diff := cmp.Diff(entry(3), d.rows["v0003"]); diff != "" {
		t.Error(diff)
	}
}

func TestFullRefuses(t *testing.T) {
	d := newDatabase()
	d.break_(func([]store.Entry) error { return away })
	s := open(t, t.TempDir(), d, func(o *spool.Options) { o.MaxBytes = 4000 })
	var err error
	taken := 0
	for ; err == nil; taken++ {
		err = s.Put(entry(taken))
	}
	if !errors.Is(err, spool.ErrFull) || crisol.KindOf(err) != crisol.KindInfrastructure || taken < 3 {
		t.Fatalf("%d taken: %v", taken, err)
	}
	d.break_(nil)
	d.until(t, "the database is back", func() bool { return len(d.rows) == taken-1 })
	for range 1000 { // room comes with the removal of the segment, soon after
		if err = s.Put(entry(1000)); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error(err)
}

// TestRefusedIsSetAside: an entry that the database refuses holds up no other, and isn't lost.
func TestRefusedIsSetAside(t *testing.T) {
	dir, d := t.TempDir(), newDatabase()
	d.break_(func(entries []store.Entry) error {
		for _, e := range entries {
			if e.Submission.ID == "v0002" {
				return crisol.Errorf(crisol.KindInternal, "no such column")
			}
		}
		return nil
	})
	s := open(t, dir, d, func(o *spool.Options) { o.Every = time.Hour })
	for i := range 5 {
		if err := s.Put(entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if aside, err := os.ReadFile(filepath.Join(dir, "refused")); err != nil || len(d.rows) != 4 || len(aside) == 0 {
		t.Errorf("%d rows, set aside %q: %v", len(d.rows), aside, err)
	}
	bad := entry(9)
	bad.Validation.PatchValidated = true
	if err := s.Put(bad); crisol.KindOf(err) != crisol.KindInternal {
		t.Errorf("a lie was taken: %v", err)
	}
}

// TestDamagedLine: a line whose bytes changed on the disk is told and set aside; those around it are recorded.
func TestDamagedLine(t *testing.T) {
	dir, d := t.TempDir(), newDatabase()
	d.break_(func([]store.Entry) error { return away })
	s := open(t, dir, d)
	for i := range 3 {
		if err := s.Put(entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); err == nil {
		t.Error("closed although the database is away")
	}
	for _, path := range journals(t, dir) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text[20] ^= 1
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	damaged := len(journals(t, dir))
	d.break_(nil)
	next := open(t, dir, d)
	if err := next.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if aside, err := os.ReadFile(filepath.Join(dir, "refused")); err != nil || len(d.rows) != 3-damaged || len(aside) == 0 {
		t.Errorf("%d rows of 3, %d damaged, set aside %d bytes: %v", len(d.rows), damaged, len(aside), err)
	}
}

func TestOneOwner(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, newDatabase())
	if _, err := spool.Open(t.Context(), dir, spool.Options{Recorder: newDatabase(), Logger: slog.New(slog.DiscardHandler)}); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Errorf("two own it: %v", err)
	}
}
