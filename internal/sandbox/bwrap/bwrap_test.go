package bwrap

import (
	"testing"
	"time"

	"crisol/internal/sandbox"
	"crisol/internal/sandbox/stage"
)

// TestLongRun: a command may run for longer than bwrap may take to come up.
func TestLongRun(t *testing.T) {
	host, err := stage.Open(stage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close() })
	r, err := New(host)
	if err != nil {
		t.Fatal(err)
	}
	r.within = 2 * time.Second
	result, err := r.Run(t.Context(), sandbox.Command{Args: []string{"sh", "-c", "sleep 2.5; exit 3"}})
	if err != nil || result.Exit != 3 {
		t.Errorf("exit %d: %v", result.Exit, err)
	}
}
