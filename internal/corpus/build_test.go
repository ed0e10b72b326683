package corpus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"crisol"
	"crisol/internal/corpus"
	"crisol/internal/scenario"
	"crisol/internal/target"
	"crisol/internal/wargame"
)

const manifest = `
schema: crisol/v1
id: small
title: Path traversal in a library of our own
vulnerability: {cve: CVE-2020-0001, cwe: [CWE-22], severity: high, type: path_traversal}
target: {dir: app, reference: {patch: fix.diff}, incomplete: [{patch: partial.diff}]}
exploits: [{id: dot-dot, run: [node, exploit.js], oracle: {exit: 0}}]
benign: [{id: below, run: [node, exploit.js]}]
`

const library = `'use strict'
const path = require('path')

// Reads a file.
exports.read = function read (root, name) {
  const file = path.resolve(root, name)
  return fs.readFileSync(file, 'utf8')
}

exports.write = function write (root, name, text) {
  const file = path.resolve(root, name)
  return fs.writeFileSync(file, text)
}
`

// fixDiff guards both functions and changes a comment.
const fixDiff = `--- a/index.js
+++ b/index.js
@@ -1,13 +1,15 @@
 'use strict'
 const path = require('path')
 
-// Reads a file.
+// Reads a file below the root.
 exports.read = function read (root, name) {
   const file = path.resolve(root, name)
+  if (!file.startsWith(root + path.sep)) throw new Error('outside')
   return fs.readFileSync(file, 'utf8')
 }
 
 exports.write = function write (root, name, text) {
   const file = path.resolve(root, name)
+  if (!file.startsWith(root + path.sep)) throw new Error('outside')
   return fs.writeFileSync(file, text)
 }
`

const partialDiff = `--- a/index.js
+++ b/index.js
@@ -4,4 +4,5 @@
 // Reads a file.
 exports.read = function read (root, name) {
+  if (name.includes('..')) throw new Error('outside')
   const file = path.resolve(root, name)
   return fs.readFileSync(file, 'utf8')
`

func small(t *testing.T) *scenario.Scenario {
	t.Helper()
	files := fstest.MapFS{
		"scenario.yaml": {Data: []byte(manifest)}, "fix.diff": {Data: []byte(fixDiff)}, "partial.diff": {Data: []byte(partialDiff)},
		"exploit.js": {Data: []byte("")}, "app/index.js": {Data: []byte(library)},
	}
	s, err := scenario.Load(files, "small")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// arena judges by the text of the patch: fixed where both guards are in, not_fixed where none is, broken else.
type arena struct {
	mu     sync.Mutex
	tried  []string
	before func(n int, report *wargame.Report) error // what else happens in the n-th trial
}

func (a *arena) Terms() string { return "rules of a test" }

func (a *arena) SelfTest(context.Context, *scenario.Scenario, wargame.SelfTestOptions) (wargame.SelfTest, error) {
	return wargame.SelfTest{Holds: true}, nil
}

func (a *arena) Run(ctx context.Context, o wargame.Order) (wargame.Report, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	text := o.Candidate.Patch.String()
	a.tried = append(a.tried, text)
	guards := strings.Count(text, "+  if (!file.startsWith(root + path.sep))")
	outcome := map[crisol.GateName]crisol.Outcome{
		crisol.GateSelfTest: o.SelfTest.Outcome, crisol.GatePrepare: crisol.Passed, crisol.GatePatchApplies: crisol.Passed, crisol.GateExploitVulnerable: crisol.Passed,
		crisol.GateExploitPatched: crisol.Passed, crisol.GateBenign: crisol.Passed,
	}
	switch guards {
	case 0:
		outcome[crisol.GateExploitPatched] = crisol.Failed
	case 1:
		outcome[crisol.GateBenign] = crisol.Failed
	}
	report := wargame.Report{}
	for name, o := range outcome {
		report.Gates = append(report.Gates, crisol.Gate{Name: name, Outcome: o, Evidence: "seen"})
	}
	if a.before != nil {
		if err := a.before(len(a.tried), &report); err != nil {
			return wargame.Report{}, err
		}
	}
	return report, ctx.Err()
}

func options(t *testing.T, a *arena, out string) corpus.Options {
	t.Helper()
	store, err := target.Open(t.TempDir(), target.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return corpus.Options{Arena: a, Targets: store, Out: out, PerScenario: 60}
}

func read(t *testing.T, out string) (all []corpus.Candidate) {
	t.Helper()
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for c, err := range corpus.Read(f) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func TestBuild(t *testing.T) {
	t.Parallel()
	a, out := &arena{}, filepath.Join(t.TempDir(), "new", "corpus.jsonl")
	total, err := corpus.Build(t.Context(), []*scenario.Scenario{small(t)}, options(t, a, out))
	if err != nil || total.Err != nil {
		t.Fatal(err, total.Err)
	}
	all := read(t, out)
	if len(all) < 40 || total.Candidates != len(all) || total.Fixed == 0 || total.NotFixed == 0 || total.Broken == 0 || len(a.tried) != len(all) {
		t.Fatalf("%d lines, %+v, %d trials", len(all), total, len(a.tried))
	}
	seen := map[string]bool{}
	operators := map[string]bool{}
	for _, c := range all {
		if seen[c.PatchDigest] || c.Patch == "" || strings.Contains(c.Patch, "+// Reads") {
			t.Errorf("twice, or with the comment that the fix changed: %+v", c)
		}
		seen[c.PatchDigest], operators[c.Operator] = true, true
		if c.Type != "path_traversal" || c.Ecosystem != "dir" || c.Package != "small" || c.CVE != "CVE-2020-0001" || c.Terms != "rules of a test" ||
			c.ScenarioDigest == "" || c.TargetDigest == "" || len(c.Files) != 1 || c.Files[0].Before != library {
			t.Errorf("%+v", c)
		}
	}
	for _, name := range []string{"official", "ddmin", "handwritten", "entry_guard", "sink_guard", "over_restrictive", "no_meaning", "invert_condition", "helper_added"} {
		if !operators[name] {
			t.Errorf("no candidate of %s", name)
		}
	}
	if all[0].Operator != "official" || all[0].Verdict != crisol.Fixed || all[0].Parent != "reference" {
		t.Errorf("%+v", all[0])
	}
}

// The same scenario gives the same candidates in the same order, also when the build is cut off anywhere between.
func TestResume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole.jsonl")
	if _, err := corpus.Build(t.Context(), []*scenario.Scenario{small(t)}, options(t, &arena{}, whole)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	want := read(t, whole)
	for _, share := range []float64{0, 0.3, 0.31, 0.8, 1} {
		cut := filepath.Join(dir, fmt.Sprintf("cut-%v.jsonl", share))
		if err := os.WriteFile(cut, text[:int(share*float64(len(text)))], 0o600); err != nil {
			t.Fatal(err)
		}
		o := options(t, &arena{}, cut)
		o.Resume = true
		total, err := corpus.Build(t.Context(), []*scenario.Scenario{small(t)}, o)
		if err != nil {
			t.Fatal(err)
		}
		got := read(t, cut)
		if total.Candidates != len(want) || len(got) != len(want) {
			t.Fatalf("cut at %v: %d lines, want %d; %+v", share, len(got), len(want), total)
		}
		for i := range want {
			if got[i].ID != want[i].ID {
				t.Fatalf("cut at %v: line %d is another candidate", share, i)
			}
		}
	}
	o := options(t, &arena{}, whole)
	if _, err := corpus.Build(t.Context(), nil, o); err == nil || !strings.Contains(err.Error(), "holds a corpus already") {
		t.Errorf("%v", err)
	}
}

// A fault of infrastructure is tried again, at once and by the next build; it is no label.
func TestFaults(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "corpus.jsonl")
	a := &arena{before: func(n int, r *wargame.Report) error {
		if n <= 4 {
			*r = wargame.Report{Infrastructure: "no disk", Gates: []crisol.Gate{{Name: crisol.GatePrepare, Outcome: crisol.Errored, Evidence: "no disk"}}}
		}
		return nil
	}}
	o := options(t, a, out)
	o.Operators = []string{"official", "handwritten"}
	total, err := corpus.Build(t.Context(), []*scenario.Scenario{small(t)}, o)
	if err != nil {
		t.Fatal(err)
	}
	all := read(t, out)
	if total.Failed != 1 || all[0].Verdict != corpus.Failed || all[0].Reason != "no disk" || all[1].Verdict != crisol.NotFixed {
		t.Fatalf("%+v: %+v", total, all)
	}
	if _, ok := all[0].Label(); ok {
		t.Error("a fault has a label")
	}
	o = options(t, &arena{}, out)
	o.Operators, o.Resume = []string{"official"}, true
	if total, err = corpus.Build(t.Context(), []*scenario.Scenario{small(t)}, o); err != nil || total.Fixed != 1 || total.Known != 0 {
		t.Fatalf("%+v, %v", total, err)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	stats, err := corpus.Summarise(corpus.Read(f))
	if err != nil || stats.Total != (corpus.Count{All: 2, Fixed: 1, NotFixed: 1}) || stats.Groups != 1 || stats.Vulnerabilities != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// What is wrong with one scenario is told and doesn't keep the others from giving theirs; what a build ends with is said.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "corpus.jsonl")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a := &arena{before: func(n int, _ *wargame.Report) error {
		if n == 3 {
			cancel()
			return ctx.Err()
		}
		return nil
	}}
	total, err := corpus.Build(ctx, []*scenario.Scenario{small(t)}, options(t, a, out))
	if !errors.Is(err, context.Canceled) || total.Candidates != 2 || len(read(t, out)) != 2 {
		t.Errorf("%+v, %v", total, err)
	}
	broken := small(t)
	broken.Target.Dir, broken.Target.Package = "", "pkg:npm/no-such-thing@"
	o := options(t, &arena{}, filepath.Join(t.TempDir(), "corpus.jsonl"))
	total, err = corpus.Build(t.Context(), []*scenario.Scenario{broken, small(t)}, o)
	if err != nil || total.Err == nil || total.Candidates < 40 {
		t.Errorf("%+v, %v", total, err)
	}
}

func TestOperators(t *testing.T) {
	t.Parallel()
	o := options(t, &arena{}, filepath.Join(t.TempDir(), "corpus.jsonl"))
	o.Operators = []string{"oficial"}
	_, err := corpus.Build(t.Context(), nil, o)
	if err == nil || crisol.KindOf(err) != crisol.KindInput || !strings.Contains(crisol.HintOf(err), "official, ddmin, ") {
		t.Errorf("%v (%s)", err, crisol.HintOf(err))
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		n          int
		fails      string
	}{
		{"nothing", "", 0, ""},
		{"two", `{"id":"a"}` + "\n" + `{"id":"b"}` + "\n", 2, ""},
		{"a last line that was cut off", `{"id":"a"}` + "\n" + `{"id":"b`, 1, ""},
		{"no JSON", "{\n" + `{"id":"a"}` + "\n", 0, "line 1"},
		{"no candidate", `{"id":"a"}` + "\n{}\n", 1, "line 2: it has no id"},
	} {
		n, got := 0, ""
		for _, err := range corpus.Read(strings.NewReader(test.text)) {
			if err != nil {
				got = err.Error()
				continue
			}
			n++
		}
		if n != test.n || !strings.Contains(got, test.fails) || (got == "") != (test.fails == "") {
			t.Errorf("%s: %d, %q", test.name, n, got)
		}
	}
}
