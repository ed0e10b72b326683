// Package sklearntest lets tests hold numeric code against scikit-learn. In go a Python program and its input, out comes
// what it prints; where scikit-learn isn't installed, the test is skipped and says so.
package sklearntest

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"
)

// interpreters are tried in turn: Debian's python3-sklearn belongs to /usr/bin/python3, which need not be the first on PATH.
var interpreters = []string{"/usr/bin/python3", "python3"}

// Run runs a Python program with input as JSON on standard input and decodes the JSON that it prints into output.
func Run(t testing.TB, program string, input, output any) {
	t.Helper()
	python := interpreter(t)
	in, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), python, "-W", "ignore", "-c", program)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("run scikit-learn: %v\n%s", err, errs.String())
	}
	if err := json.Unmarshal(out.Bytes(), output); err != nil {
		t.Fatalf("read scikit-learn's answer: %v\n%s", err, out.String())
	}
}

func interpreter(t testing.TB) string {
	t.Helper()
	for _, python := range interpreters {
		if exec.CommandContext(t.Context(), python, "-c", "import sklearn").Run() == nil {
			return python
		}
	}
	t.Skip("scikit-learn isn't installed (Debian: apt-get install python3-sklearn)")
	return ""
}
