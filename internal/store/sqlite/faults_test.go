package sqlite

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crisol"
	"crisol/internal/store"
)

func openHere(t *testing.T) *Store {
	t.Helper()
	st, err := Open(t.Context(), filepath.Join(t.TempDir(), "crisol.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func end(v crisol.Verdict) store.Ending {
	return store.Ending{ID: "a", Validation: crisol.Validation{Verdict: v}, At: time.Now()}
}

// everyCall makes each call of the contract about a validation.
func everyCall(ctx context.Context, st *Store, id string) map[string]error {
	calls := map[string]error{
		"accept": st.Accept(ctx, store.Submission{ID: "new"}, 9), "retry": st.Retry(ctx, id, 1, "x"), "release": st.Release(ctx, id, 1),
		"finish": st.Finish(ctx, end(crisol.Broken)), "ping": st.Ping(ctx),
	}
	_, calls["begin"] = st.Begin(ctx, id, store.Lease{At: time.Now()})
	_, calls["recover"] = st.Recover(ctx)
	_, calls["unfinished"] = st.Unfinished(ctx, "", 1)
	_, calls["get"] = st.Get(ctx, id)
	_, calls["state"] = st.State(ctx, id)
	_, calls["expired"] = st.Expired(ctx, time.Now(), 1)
	_, calls["loads"] = st.Loads(ctx)
	_, calls["based on"] = st.BasedOn(ctx, "s", "d", "", 1)
	_, calls["judged"] = st.ABTests().Judged(ctx, 0, 1)
	_, calls["events"] = st.Events().After(ctx, 0, 1)
	_, calls["due"] = st.Deliveries().Due(ctx, time.Now(), time.Now(), 1)
	_, calls["prune"] = st.Prune(ctx, store.Horizon{Events: time.Now()}, 1)
	_, _, calls["setting"] = st.Settings().Get(ctx, "k")
	_, calls["counts"] = st.Counters().Range(ctx, time.Now(), time.Now(), "")
	_, calls["confusion"] = st.Accuracy().Confusion(ctx, store.ConfusionFilter{})
	_, calls["list"] = st.List(ctx, store.Filter{Limit: 1})
	return calls
}

func TestFaultsOfTheDatabase(t *testing.T) {
	for name, breakIt := range map[string]func(t *testing.T, st *Store){
		"closed": func(t *testing.T, st *Store) {
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
		},
		"tables gone": func(t *testing.T, st *Store) {
			if _, err := st.write.ExecContext(t.Context(), `DROP TABLE requests; DROP TABLE verdicts; DROP TABLE validations;
				DROP VIEW ml_accuracy_stats; DROP TABLE ml_ab_tests; DROP TABLE events; DROP TABLE settings; DROP TABLE ml_unaudited; DROP TABLE webhook_deliveries`); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := openHere(t)
			breakIt(t, st)
			for call, err := range everyCall(t.Context(), st, "a") {
				if err == nil || crisol.KindOf(err) != crisol.KindInfrastructure || !strings.Contains(err.Error(), st.path) {
					t.Errorf("%s: %v (%v)", call, err, crisol.KindOf(err))
				}
			}
		})
	}
}

// TestDamagedRows: a row that can't be read is an error, never a validation with something missing.
func TestDamagedRows(t *testing.T) {
	ctx := t.Context()
	for name, c := range map[string]struct{ damage, call string }{
		"request is no JSON":   {`UPDATE requests SET body = '{'`, "begin get"},
		"request is gone":      {`DELETE FROM requests`, "begin get"},
		"verdict is no JSON":   {`UPDATE verdicts SET body = '{'`, "get"},
		"verdict is gone":      {`DELETE FROM verdicts`, "get"},
		"verdict came already": {`UPDATE validations SET state = 'queued', verdict = '', patch_validated = 0`, "finish"},
	} {
		t.Run(name, func(t *testing.T) {
			st := openHere(t)
			if err := st.Accept(ctx, store.Submission{ID: "a", Accepted: store.Accepted{Normalised: crisol.Request{APVID: "x"}}}, 1); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(c.damage, "verdict") {
				if err := st.Finish(ctx, end(crisol.NotFixed)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := st.write.ExecContext(ctx, c.damage); err != nil {
				t.Fatal(err)
			}
			for call := range strings.FieldsSeq(c.call) {
				if err := map[string]func() error{
					"begin":  func() error { _, err := st.Begin(ctx, "a", store.Lease{At: time.Now()}); return err },
					"get":    func() error { _, err := st.Get(ctx, "a"); return err },
					"finish": func() error { return st.Finish(ctx, end(crisol.Fixed)) },
				}[call](); crisol.KindOf(err) != crisol.KindInfrastructure || err == nil {
					t.Errorf("%s: %v", call, err)
				}
			}
		})
	}
}

func TestUnwritableVerdict(t *testing.T) {
	st := openHere(t)
	if err := st.Accept(t.Context(), store.Submission{ID: "a"}, 1); err != nil {
		t.Fatal(err)
	}
	if err := st.Finish(t.Context(), store.Ending{ID: "a", Validation: crisol.Validation{Verdict: crisol.Fixed, Confidence: math.NaN()}, At: time.Now()}); err == nil {
		t.Error("a verdict that can't be encoded was stored")
	}
	if state, err := st.State(t.Context(), "a"); err != nil || state != store.Queued {
		t.Errorf("%v, %v", state, err)
	}
}

// TestCheckIsBounded: what is too big to be checked at the start is opened all the same, and the log says so.
func TestCheckIsBounded(t *testing.T) {
	st := openHere(t)
	var logged bytes.Buffer
	st.logger = slog.New(slog.NewTextHandler(&logged, nil))
	if err := st.checkIntegrity(t.Context(), time.Nanosecond); err != nil || !strings.Contains(logged.String(), "too big") {
		t.Errorf("%v, log %q", err, logged.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := st.checkIntegrity(ctx, time.Minute); crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Errorf("a start that was called off: %v", err)
	}
}

func TestOpenCalledOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if st, err := Open(ctx, filepath.Join(t.TempDir(), "crisol.db"), slog.New(slog.DiscardHandler)); err == nil {
		t.Errorf("opened: %v", st.Close())
	}
}

// turnstile lets calls through and counts them, or none.
type turnstile struct {
	calls int
	shut  error
}

func (g *turnstile) Do(ctx context.Context, call func(context.Context) error) error {
	g.calls++
	if g.shut != nil {
		return g.shut
	}
	return call(ctx)
}

// TestGuard: every call of the contract but Ping goes through a guard, one that reads through the reader's.
func TestGuard(t *testing.T) {
	st := openHere(t)
	writer, reader := &turnstile{}, &turnstile{}
	st.Guard(writer, reader)
	if err := st.Accept(t.Context(), store.Submission{ID: "a"}, 9); err != nil || writer.calls != 1 || reader.calls != 0 {
		t.Errorf("%v, %+v, %+v", err, writer, reader)
	}
	if _, err := st.Get(t.Context(), "a"); err != nil || writer.calls != 1 || reader.calls != 1 {
		t.Errorf("%v, %+v, %+v", err, writer, reader)
	}
	writer.shut = crisol.Errorf(crisol.KindInfrastructure, "shut")
	reader.shut = writer.shut
	for call, err := range everyCall(t.Context(), st, "a") {
		if (call == "ping") != (err == nil) || err != nil && !errors.Is(err, writer.shut) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

// TestSick: a file that can't be used by anybody.
func TestSick(t *testing.T) {
	st := openHere(t)
	err := st.Finish(t.Context(), end(crisol.Fixed))
	if err == nil || Sick(err) {
		t.Errorf("no such row: %v", err)
	}
	path := filepath.Join(t.TempDir(), "no database")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, slog.New(slog.DiscardHandler)); err == nil || !Sick(err) {
		t.Errorf("no database: %v", err)
	}
}
