package advisory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"crisol"
	"crisol/internal/advisory"
	"crisol/internal/scenario"
)

const records = "testdata/osv"

func find(t *testing.T, id string) *advisory.Record {
	t.Helper()
	r, err := advisory.Find(records, id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// registry stands for one that has these versions.
func registry(versions ...string) func(context.Context, string, string) ([]string, error) {
	return func(context.Context, string, string) ([]string, error) { return versions, nil }
}

func TestRealRecords(t *testing.T) {
	id, o, err := find(t, "GHSA-c4w7-xm78-47vh").Start(t.Context(), advisory.Options{Versions: registry("3.2.1", "4.0.0", "5.0.3", "5.0.4", "5.0.5", "5.1.0-beta.1", "5.0.10")})
	if err != nil {
		t.Fatal(err)
	}
	if id != "CVE-2020-7774" || o.CVE != id || o.Package != "pkg:npm/y18n@5.0.4" || o.Reference != "pkg:npm/y18n@5.0.5" || o.Type != "prototype_pollution" ||
		o.Severity != "high" || o.Title != "Prototype Pollution in y18n" || !slices.Equal(o.Aliases, []string{"GHSA-c4w7-xm78-47vh"}) ||
		!slices.Equal(o.CWE, []string{"CWE-1321", "CWE-20", "CWE-915"}) || !slices.Equal(o.Advisories, []string{"GHSA-c4w7-xm78-47vh"}) {
		t.Errorf("%s %+v", id, o)
	}
	// By an alias; the record lists its versions, and nobody is asked.
	id, o, err = find(t, "CVE-2020-1747").Start(t.Context(), advisory.Options{})
	if err != nil || id != "CVE-2020-1747" || o.Package != "pkg:pypi/pyyaml@5.3" || o.Reference != "pkg:pypi/pyyaml@5.3.1" || o.Type != "code_injection" || o.Severity != "" ||
		!slices.Equal(o.Aliases, []string{"PYSEC-2020-96", "GHSA-6757-jp84-gxfx"}) || len([]rune(o.Title)) > 125 {
		t.Errorf("%s %+v %v", id, o, err)
	}
	// One of several packages.
	_, o, err = find(t, "GHSA-29mw-wpgm-hmr9").Start(t.Context(), advisory.Options{Package: "lodash", Versions: registry("4.17.20", "4.17.21", "3.0.0")})
	if err != nil || o.Package != "pkg:npm/lodash@4.17.20" || o.Type != "redos" || o.Severity != "medium" {
		t.Errorf("%+v %v", o, err)
	}
	// One without a fix, whose last affected version is known.
	_, o, err = find(t, "GHSA-29mw-wpgm-hmr9").Start(t.Context(), advisory.Options{Package: "lodash.trim", Reference: "pkg:npm/lodash.trim@4.6.0"})
	if err != nil || o.Package != "pkg:npm/lodash.trim@4.5.1" || o.Reference != "pkg:npm/lodash.trim@4.6.0" {
		t.Errorf("%+v %v", o, err)
	}
	// The version that the user names, and the fix of its line.
	for version, fix := range map[string]string{"3.1.0": "3.2.2", "4.0.0": "4.0.1", "5.0.1": "5.0.5"} {
		_, o, err = find(t, "GHSA-c4w7-xm78-47vh").Start(t.Context(), advisory.Options{Package: "pkg:npm/y18n@" + version})
		if err != nil || o.Package != "pkg:npm/y18n@"+version || o.Reference != "pkg:npm/y18n@"+fix {
			t.Errorf("%+v %v", o, err)
		}
	}
}

// TestStarts starts a scenario of each real record; it loads.
func TestStarts(t *testing.T) {
	for id, o := range map[string]advisory.Options{
		"GHSA-c4w7-xm78-47vh": {Versions: registry("5.0.4", "5.0.5")}, "PYSEC-2020-96": {}, "CVE-2020-28500": {Package: "lodash-es", Versions: registry("4.17.20")},
	} {
		name, begin, err := find(t, id).Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "new")
		if err := scenario.New(dir, name, begin); err != nil {
			t.Fatal(err)
		}
		s, err := scenario.Open(dir)
		if err != nil || s.ID != name || s.Title != begin.Title || s.Vulnerability.Type != begin.Type || !slices.Equal(s.Vulnerability.Advisories, begin.Advisories) {
			t.Errorf("%+v %v", s, err)
		}
	}
}

// record writes a record of one affected package; affected is its JSON.
func record(t *testing.T, head, affected string) *advisory.Record {
	t.Helper()
	file := filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(file, []byte(`{"id": "X-1"`+head+`, "affected": [`+affected+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := advisory.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVersions(t *testing.T) {
	const events = `, "ranges": [{"type": "GIT", "events": [{"introduced": "0"}, {"fixed": "deadbeef"}]}, {"type": "ECOSYSTEM", "events": `
	for name, c := range map[string]struct {
		affected          string
		registry          []string
		vulnerable, fixed string
	}{
		"scope":       {`{"package": {"ecosystem": "npm", "name": "@a/b"}` + events + `[{"introduced": "0"}, {"fixed": "1.2.0"}]}], "versions": ["1.0.0", "1.1.0", "1.2.0-rc.1"]}`, nil, "pkg:npm/%40a/b@1.1.0", "pkg:npm/%40a/b@1.2.0"},
		"prerelease":  {`{"package": {"ecosystem": "npm", "name": "x"}` + events + `[{"introduced": "0"}, {"fixed": "1.0.0"}]}], "versions": ["1.0.0-a", "1.0.0-b"]}`, nil, "pkg:npm/x@1.0.0-b", "pkg:npm/x@1.0.0"},
		"last known":  {`{"package": {"ecosystem": "npm", "name": "x"}` + events + `[{"introduced": "0"}, {"fixed": "2.0.0"}]}], "database_specific": {"last_known_affected_version_range": "<= 1.9.3"}}`, nil, "pkg:npm/x@1.9.3", "pkg:npm/x@2.0.0"},
		"not by text": {`{"package": {"ecosystem": "PyPI", "name": "X_y"}` + events + `[{"introduced": "1.9"}, {"fixed": "1.20"}]}], "versions": ["1.9", "1.10", "1.11rc1", "1.8"]}`, nil, "pkg:pypi/X_y@1.10", "pkg:pypi/X_y@1.20"},
		"maven":       {`{"package": {"ecosystem": "Maven", "name": "g.h:a"}` + events + `[{"introduced": "0"}, {"fixed": "1.0.Final"}]}], "versions": ["1.0.Alpha1", "0.9.Final"]}`, nil, "pkg:maven/g.h/a@0.9.Final", "pkg:maven/g.h/a@1.0.Final"},
		"go":          {`{"package": {"ecosystem": "Go", "name": "example.org/x"}` + events + `[{"introduced": "0"}, {"fixed": "1.2.0"}]}]}`, []string{"v1.0.0", "v1.1.0", "v1.3.0"}, "pkg:golang/example.org/x@v1.1.0", "pkg:golang/example.org/x@v1.3.0"},
		"two lines":   {`{"package": {"ecosystem": "npm", "name": "x"}` + events + `[{"introduced": "2.0.0"}, {"fixed": "2.1.0"}, {"introduced": "1.0.0"}, {"fixed": "1.5.0"}]}], "versions": ["1.4.0", "2.0.3"]}`, nil, "pkg:npm/x@2.0.3", "pkg:npm/x@2.1.0"},
		"open end":    {`{"package": {"ecosystem": "npm", "name": "x"}` + events + `[{"introduced": "1.0.0"}, {"fixed": "1.5.0"}, {"introduced": "2.0.0"}]}], "versions": ["1.4.0", "2.0.3"]}`, nil, "pkg:npm/x@1.4.0", "pkg:npm/x@1.5.0"},
	} {
		t.Run(name, func(t *testing.T) {
			o := advisory.Options{}
			if c.registry != nil {
				o.Versions = registry(c.registry...)
			}
			_, begin, err := record(t, "", c.affected).Start(t.Context(), o)
			if err != nil || begin.Package != c.vulnerable || begin.Reference != c.fixed {
				t.Errorf("%s %s %v", begin.Package, begin.Reference, err)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	const npm = `{"package": {"ecosystem": "npm", "name": "x"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.0.0"}]}]}`
	const unfixed = `{"package": {"ecosystem": "npm", "name": "x"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}], "versions": ["1.0.0"]}`
	down := func(context.Context, string, string) ([]string, error) { return nil, errors.New("no answer") }
	for name, c := range map[string]struct {
		head, affected string
		o              advisory.Options
		says, hint     string
	}{
		"withdrawn":    {`, "withdrawn": "2024-01-02T03:04:05Z"`, npm, advisory.Options{}, "was withdrawn on 2024-01-02", "stands"},
		"ecosystem":    {"", `{"package": {"ecosystem": "RubyGems", "name": "rails"}}`, advisory.Options{}, "started for: RubyGems rails", "npm, PyPI, Go and Maven"},
		"toolchain":    {"", `{"package": {"ecosystem": "Go", "name": "stdlib"}}`, advisory.Options{}, "Go stdlib", "npm"},
		"many others":  {"", strings.Repeat(`{"package": {"ecosystem": "Debian:12"}},`, 1) + manyOthers(), advisory.Options{}, "and 4 more", "npm"},
		"no package":   {"", `{}`, advisory.Options{}, "names no package", "OSV"},
		"another name": {"", npm, advisory.Options{Package: "y"}, "doesn't affect y, but x", "--package"},
		"another purl": {"", npm, advisory.Options{Package: "pkg:npm/y@1.0.0"}, "doesn't affect pkg:npm/y@1.0.0, but x", "--package"},
		"no versions":  {"", npm, advisory.Options{}, "lists no version of x that is affected", "--package pkg:npm/x@VERSION"},
		"registry":     {"", npm, advisory.Options{Versions: down}, "could not be had: no answer", "--package pkg:npm/x@VERSION"},
		"none of them": {"", npm, advisory.Options{Versions: registry("1.0.0", "2.0.0")}, "of the 2 versions of x", "--package"},
		"no fix":       {"", unfixed, advisory.Options{}, "no version of x fixes it", "--reference"},
		"no fix above": {"", npm, advisory.Options{Package: "pkg:npm/x@3.0.0"}, "no fix for version 3.0.0", "--reference"},
		"no ranges":    {"", `{"package": {"ecosystem": "npm", "name": "x"}, "versions": ["1.0.0"]}`, advisory.Options{}, "names no version of x", "--package"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := record(t, c.head, c.affected).Start(t.Context(), c.o)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(crisol.HintOf(err), c.hint) {
				t.Errorf("%v (hint %q)", err, crisol.HintOf(err))
			}
		})
	}
}

func manyOthers() string {
	var list []string
	for i := range 15 {
		list = append(list, fmt.Sprintf(`{"package": {"ecosystem": "Alpine", "name": "p%d"}}`, i))
	}
	return strings.Join(list, ",")
}

// TestMalformed: an error names the file, the line and the field.
func TestMalformed(t *testing.T) {
	dir := t.TempDir()
	for text, says := range map[string]string{
		"":                       "r.json:1: not JSON",
		"{\n\"id\": \"X-1\",\n}": "r.json:3: not JSON",
		"[]":                     "r.json:1: the record: an array is not the right type",
		"{\n\"id\": 3}":          "r.json:2: id: a number is not the right type",
		"{\"id\": \"X-1\", \"affected\": [\n{\"ranges\": [{\"events\": \"x\"}]}]}": "r.json:2: affected.ranges.events: a string is not",
		"{\"id\": \"X-1\", \"withdrawn\": \"yesterday\"}":                          "r.json: parsing time",
		"{}": "id is missing",
	} {
		file := filepath.Join(dir, "r.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := advisory.Read(file); crisol.KindOf(err) != crisol.KindInput || !strings.Contains(err.Error(), says) || crisol.HintOf(err) == "" {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, file := range []string{filepath.Join(dir, "none.json"), dir} {
		if _, err := advisory.Read(file); crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: %v", file, err)
		}
	}
	huge := filepath.Join(dir, "huge.json")
	if err := errors.Join(os.WriteFile(huge, nil, 0o600), os.Truncate(huge, 17<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := advisory.Read(huge); err == nil || !strings.Contains(err.Error(), "at most 16 MiB") {
		t.Error(err)
	}
	if _, err := advisory.Find(dir, "GHSA-c4w7-xm78-47vh"); crisol.KindOf(err) != crisol.KindNotFound || crisol.HintOf(err) == "" {
		t.Error(err)
	}
	if _, err := advisory.Find(filepath.Join(dir, "none"), "X-1"); crisol.KindOf(err) != crisol.KindInput {
		t.Error(err)
	}
}

func TestIsID(t *testing.T) {
	for text, want := range map[string]bool{
		"GHSA-c4w7-xm78-47vh": true, "CVE-2020-1747": true, "PYSEC-2020-96": true, "GHSA-c4w7-xm78-47vh.json": false,
		"./GHSA-c4w7-xm78-47vh": false, "dir/CVE-2020-1747": false, "record": false, "": false,
	} {
		if advisory.IsID(text) != want {
			t.Errorf("%q", text)
		}
	}
}

// TestClasses: what the advisory says of the weakness, in its words or by number, becomes a class and a severity.
func TestClasses(t *testing.T) {
	const fixed = `{"package": {"ecosystem": "npm", "name": "x"}, "ranges": [{"events": [{"introduced": "0"}, {"fixed": "2.0.0"}]}], "versions": ["1.0.0"]}`
	for head, want := range map[string]string{
		`, "database_specific": {"cwe_ids": ["CWE-20", "CWE-22"], "severity": "MODERATE"}`:                                        "path_traversal medium",
		`, "database_specific": {"cwe_ids": ["CWE-119", "CWE-1333"]}, "summary": "x"`:                                             "redos ",
		`, "database_specific": {"cwe_ids": ["CWE-400"]}, "summary": "Regular Expression Denial of Service"`:                      "redos ",
		`, "summary": "Something", "details": "... allows Directory Traversal via"`:                                               "path_traversal ",
		`, "summary": "Something", "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]`:    "other critical",
		`, "severity": [{"score": "nonsense"}, {"score": "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:L/A:N"}]`:                        "other medium",
		`, "severity": [{"score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}]`:                            "other critical",
		`, "severity": [{"score": "AV:N/AC:L/Au:N/C:P/I:P/A:P"}]`:                                                                 "other high",
		`, "severity": [{"score": "CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"}]`:                                               "other low",
		`, "severity": [{"score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"}, {"score": "CVSS:9"}, {"score": "CVSS:4.0/x"}]`: "other ",
	} {
		_, o, err := record(t, head, fixed).Start(t.Context(), advisory.Options{})
		if got := o.Type + " " + o.Severity; err != nil || got != want {
			t.Errorf("%s: %q, want %q (%v)", head, got, want, err)
		}
	}
}

// FuzzRecord: whatever a record says, the scenario that is begun with it loads, or an error tells of whom.
func FuzzRecord(f *testing.F) {
	files, err := filepath.Glob(records + "/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(`{"id": "GHSA-bad", "aliases": ["CVE-1", "-x", "CVE-2020-00001", "a\nb-c"], "summary": "# a: [b\u0000\u202e]\n", "database_specific": {"cwe_ids": ["CWE-x"], "severity": "?"},
		"affected": [{"package": {"ecosystem": "npm", "name": "../x"}, "ranges": [{"events": [{"introduced": "0"}, {"fixed": "\n"}]}], "versions": ["1.0.0", "; rm"]}]}`)
	f.Add(`{"id": "GHSA-bad", "aliases": ["CVE-1", "CVE-2020-777T", "-x", "CVE-2020-00001", "a\nb-c"], "summary": "# a: [b\u0000\u202e]\n", "database_specific": {"cwe_ids": ["CWE-x"], "severity": "?"},
		"affected": [{"package": {"ecosystem": "npm", "name": "x"}, "ranges": [{"events": [{"introduced": "0"}, {"fixed": "2.0.0"}]}], "versions": ["1.0.0", "; rm"]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		file := filepath.Join(dir, "r.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := advisory.Read(file)
		if err != nil {
			if json.Valid([]byte(text)) && crisol.KindOf(err) != crisol.KindInput {
				t.Fatal(err)
			}
			return
		}
		id, o, err := r.Start(t.Context(), advisory.Options{Versions: registry("1.0.0", "5.0.4")})
		if err != nil {
			return
		}
		if err := scenario.New(filepath.Join(dir, "new"), id, o); err != nil && crisol.KindOf(err) != crisol.KindInput {
			t.Fatalf("%+v: %v", o, err)
		}
	})
}
