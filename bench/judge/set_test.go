package main

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"crisol/internal/scenario"
)

// TestSet holds the set to its size and its spread: at least 60 wrong patches of every kind over at least 30 scenarios
// of the library, and at least 30 right ones.
func TestSet(t *testing.T) {
	patches, err := ReadSet(os.DirFS("testdata"))
	if err != nil {
		t.Fatal(err)
	}
	library, err := scenario.Library()
	if err != nil {
		t.Fatal(err)
	}
	scenarios, count := map[string]bool{}, map[string]int{}
	for _, p := range patches {
		count[p.Kind]++
		count[p.How]++
		if p.Kind == wrong {
			scenarios[p.Scenario] = true
		}
		if library.Find(p.Scenario) == nil {
			t.Errorf("%s is no scenario of the library", p.Scenario)
		}
	}
	if len(scenarios) < 30 || count[wrong] < 60 || count[right] < 30 {
		t.Errorf("wrong patches of %d scenarios, %v", len(scenarios), count)
	}
	for _, how := range hows {
		if count[how] < 5 {
			t.Errorf("%d patches are %s", count[how], how)
		}
	}
}

func TestBadSets(t *testing.T) {
	const fix = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
	entry := func(kind, how, why string) string {
		return "- {file: a.diff, kind: " + kind + ", how: " + how + ", why: \"" + why + "\"}\n"
	}
	for list, want := range map[string]string{
		"":                                 "EOF",
		"- {fiel: a.diff}":                 "fiel",
		entry("bad", "partial", "x"):       "entry 0",
		entry("wrong", "alternative", "x"): "entry 0",
		entry("right", "partial", "x"):     "entry 0",
		entry("wrong", "partial", ""):      "entry 0",
		entry("wrong", "sloppy", "x"):      "entry 0",
		strings.Repeat(entry("wrong", "partial", "x"), 2):                      "entry 1",
		strings.Replace(entry("wrong", "partial", "x"), "a.diff", "b.diff", 1): "b.diff: empty",
		"[]": "a.diff isn't listed",
	} {
		set := fstest.MapFS{"s/patches.yaml": {Data: []byte(list)}, "s/a.diff": {Data: []byte(fix)}, "s/b.diff": {}}
		_, err := ReadSet(set)
		if err == nil || !strings.Contains(err.Error(), "s/patches.yaml") {
			t.Errorf("%q: %v, wanted %q", list, err, want)
		} else if want != "EOF" && !strings.Contains(err.Error(), strings.TrimSuffix(want, ": empty")) {
			t.Errorf("%q: %v, wanted %q", list, err, want)
		}
	}
	if _, err := ReadSet(fstest.MapFS{}); err == nil {
		t.Error("an empty set is none")
	}
}
