package runtimes

import (
	"io"
	"testing"

	"crisol/internal/sandbox"
)

func BenchmarkTrue(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			r, err := Open(b.Context(), name, Options{})
			if err != nil {
				b.Fatal(err)
			}
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
