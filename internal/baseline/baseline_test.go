package baseline_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"crisol/internal/baseline"
	"crisol/internal/diff"
)

func TestNine(t *testing.T) {
	for name, c := range map[string]struct {
		patch, cwe string
		want       []float64
	}{
		"guard":               {"--- a/x.js\n+++ b/x.js\n@@ -1,2 +1,3 @@\n function set (o, k, v) {\n-  o[k] = v\n+  if (k === '__proto__') return\n+  o[k] = v\n", "CWE-1321", []float64{2, 1, 1, 1, 1, 0, 0, 0, 1321}},
		"escape":              {"--- a/x.js\n+++ b/x.js\n@@ -1 +1 @@\n-return a ? b : c\n+return escapeHtml(b).replace(/x/g, '')\n", "cwe-79", []float64{1, 1, 1, -1, 0, 1, 1, 0, 79}},
		"two files, no class": {"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-q(s + n)\n+q(s, params=n)\n--- a/y.py\n+++ b/y.py\n@@ -1 +0,0 @@\n-y\n", "", []float64{1, 2, 2, 0, 0, 0, 0, 1, 0}},
	} {
		p, err := diff.Parse([]byte(c.patch), diff.Limits{})
		if err != nil {
			t.Fatal(name, err)
		}
		if d := cmp.Diff(c.want, baseline.Nine(p, c.cwe)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
