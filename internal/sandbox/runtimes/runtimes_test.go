package runtimes

import (
	"io"
	"os"
	"testing"

	"crisol"
	"crisol/internal/sandbox"
	"crisol/internal/sandbox/sandboxtest"
)

// open opens a runtime for a test. One that isn't installed fails the test where everything should be (CI), and
// skips it elsewhere.
func open1(t testing.TB, name string) sandbox.Runtime {
	t.Helper()
	r, err := Open(t.Context(), name, Options{})
	if err == nil {
		return r
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%v (%s)", err, crisol.HintOf(err))
	}
	t.Skipf("%v (%s)", err, crisol.HintOf(err))
	return nil
}

func TestConformance(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			r := open1(t, name)
			sandboxtest.Run(t, r, r.(io.Closer).Close)
		})
	}
}

func BenchmarkTrue(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			r := open1(b, name)
			defer r.(io.Closer).Close()
			for b.Loop() {
				res, err := r.Run(b.Context(), sandbox.Command{Args: []string{"/bin/true"}})
				if err != nil || res.Exit != 0 {
					b.Fatal(res, err)
				}
			}
		})
	}
}
