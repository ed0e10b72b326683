package app_test

import (
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"crisol/internal/netns"
	"crisol/internal/store/pgtest"
	"crisol/internal/store/postgres"
)

// TestPartition: what a worker holds whose network is cut is taken over by another, and when the network is back the
// worker lets go of it.
func TestPartition(t *testing.T) {
	t.Parallel()
	if missing := netns.Missing(); missing != "" {
		t.Skip(missing)
	}
	server := pgtest.New(t)
	database := server.Database(t)
	st, err := postgres.Open(t.Context(), database, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	away, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := away.Close(); err != nil {
			t.Error(err)
		}
	})
	address, err := away.Forward(t.Context(), server.Address())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := hostConfig{Data: t.TempDir(), Database: database, NoTrials: true, Addr: l.Addr().String()}
	_ = l.Close() // the address is all that was wanted
	c := &cluster{T: t, store: st, addr: front.Addr, front: launch(t, front)}
	far := hostConfig{Data: t.TempDir(), Database: strings.Replace(pgtest.TCP(database), server.Address(), address, 1), Pace: time.Hour}
	lost := launchAs(t, far, away.Command(os.Args[0]))

	r := query("apv", trimmed)
	r.Wait = "0s"
	status, body := c.post("/wargaming/validate", r)
	if status != http.StatusAccepted {
		t.Fatalf("%d %v", status, body)
	}
	id := body["validation_id"].(string)
	c.accepted.Store(id, true)
	await(t, "the trial begins", func() bool { return c.one(`SELECT count(*) FROM validations WHERE state = 'running'`) == 1 })
	if err := away.Cut(); err != nil {
		t.Fatal(err)
	}
	launch(t, hostConfig{Data: t.TempDir(), Database: database})
	c.settle()
	c.check()
	record, err := st.Get(t.Context(), id)
	if err != nil || record.Attempts != 2 || record.Validation.Wargame == nil {
		t.Errorf("%+v, %v", record.Row, err)
	}
	const says = "trial ended, since its verdict came from elsewhere"
	if strings.Contains(lost.log.String(), says) {
		t.Error("the cable was not cut: the worker heard of the verdict")
	}
	if err := away.Mend(); err != nil {
		t.Fatal(err)
	}
	await(t, "the worker lets go", func() bool { return strings.Contains(lost.log.String(), says) })
}

// await looks until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	awaitFor(t, 30*time.Second, what, holds)
}

// awaitFor is await for what takes longer on a busy machine.
func awaitFor(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
