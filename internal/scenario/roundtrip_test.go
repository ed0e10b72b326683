package scenario

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

// TestRoundTrip draws manifests that keep every rule, writes them and reads them: nothing is refused, nothing is lost.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawManifest(t)
		text, err := yaml.Marshal(written(want))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Load(beside(string(text)), "")
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		if !reflect.DeepEqual(s.Manifest, want) {
			t.Fatalf("%s\ngot  %+v\nwant %+v", text, s.Manifest, want)
		}
	})
}

// draw is one value of a form.
func draw(t *rapid.T, form string) string { return rapid.StringMatching(form).Draw(t, form) }

// some is a list of up to three drawn values, nil when it is empty.
func some[T any](t *rapid.T, one func(*rapid.T) T) []T {
	var list []T
	for range rapid.IntRange(0, 3).Draw(t, "length") {
		list = append(list, one(t))
	}
	return list
}

func maybe(t *rapid.T) bool { return rapid.Bool().Draw(t, "maybe") }

// anything is text as an argument or a page may hold it: YAML's own signs, line breaks, other scripts.
func anything(t *rapid.T) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune("ab0 \t\n'\"\\:#-{}[],&*!|>%@`~=.é世\u00a0🜁")), 1, 12, -1).Draw(t, "anything")
}

func drawID(t *rapid.T) string { return draw(t, `[A-Za-z0-9][A-Za-z0-9._@-]{0,6}`) }

func drawTitle(t *rapid.T) string {
	return rapid.OneOf(rapid.StringMatching(`[!-~][ -~]{0,20}`), rapid.SampledFrom([]string{"1", "true", "null", "~", "2020-01-01", "- x", "a: b", "0x10"})).Draw(t, "title")
}

func drawManifest(t *rapid.T) Manifest {
	m := Manifest{Schema: Schema, ID: drawID(t), Title: drawTitle(t), Kit: "node"}
	if maybe(t) {
		m.Verified = time.Date(rapid.IntRange(1970, 2100).Draw(t, "year"), 2, 28, 0, 0, 0, 0, time.UTC)
	}
	m.Vulnerability = Vulnerability{
		CVE: draw(t, `CVE-[0-9]{4}-[0-9]{4,6}`), Severity: rapid.SampledFrom(Severities).Draw(t, "severity"), Type: rapid.SampledFrom(Types).Draw(t, "type"),
		CWE:        some(t, func(t *rapid.T) string { return draw(t, `CWE-[0-9]{1,4}`) }),
		Aliases:    some(t, func(t *rapid.T) string { return draw(t, `GHSA(-[2-9cfghjmpqrvwx]{4}){3}`) }),
		Advisories: some(t, func(t *rapid.T) string { return draw(t, `PYSEC-[0-9]{4}-[0-9]{1,3}`) }),
	}
	m.Target = drawTarget(t)
	for i := range rapid.IntRange(1, 3).Draw(t, "exploits") {
		m.Exploits = append(m.Exploits, drawExploit(t, fmt.Sprintf("x%d", i), m.Target.Service != nil))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "benign") {
		m.Benign = append(m.Benign, drawInput(t, fmt.Sprintf("b%d", i), m.Target.Service != nil))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "tests") {
		m.Tests = append(m.Tests, drawInput(t, fmt.Sprintf("t%d", i), m.Target.Service != nil))
	}
	if maybe(t) {
		m.Limits = Limits{
			Timeout: time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(maxTimeout)).Draw(t, "timeout")),
			Memory:  rapid.Int64Range(minMemory, maxMemory).Draw(t, "memory"), Processes: rapid.IntRange(1, maxProcesses).Draw(t, "processes"),
			Disk: rapid.Int64Range(minMemory, maxDisk).Draw(t, "disk"),
		}
	}
	return m
}

func drawTarget(t *rapid.T) Target {
	target := Target{Reference: Fix{Patch: "fix.diff"}}
	if maybe(t) {
		target.Package, target.Reference = "pkg:npm/a@1.0.0", Fix{Package: "pkg:npm/a@2.0.0"}
		target.With = some(t, func(t *rapid.T) string { return "pkg:npm/" + draw(t, `[a-z]{1,5}`) + "@" + draw(t, `[1-9]\.[1-9]\.0`) })
		target.Incomplete = some(t, func(t *rapid.T) Fix { return Fix{Package: "pkg:npm/a@1." + draw(t, `[1-9]`) + ".0"} })
	} else {
		target.Dir = "app"
		target.Incomplete = some(t, func(t *rapid.T) Fix {
			return rapid.SampledFrom([]Fix{{Patch: "fixes/half.diff"}, {Dir: "fixed"}}).Draw(t, "fix")
		})
	}
	if maybe(t) {
		target.Decoy = &Fix{Patch: "decoy.patch"}
	}
	target.Build = some(t, func(t *rapid.T) Step {
		return Step{Run: drawArgs(t), Dir: rapid.SampledFrom([]string{"", "/work", "/work/a b"}).Draw(t, "dir")}
	})
	if maybe(t) {
		target.Service = &Service{
			Run: drawArgs(t), Env: drawEnv(t),
			Ready: Ready{TCP: draw(t, `(127\.0\.0\.1|localhost):[1-9][0-9]{0,3}`), Within: time.Duration(rapid.IntRange(1, 1000).Draw(t, "within")) * time.Millisecond},
		}
	}
	return target
}

// drawArgs is an argv; what looks like a script would have to exist.
func drawArgs(t *rapid.T) []string {
	args := []string{draw(t, `[a-z][a-z0-9]{0,5}`)}
	return append(args, some(t, func(t *rapid.T) string {
		return rapid.OneOf(rapid.Custom(anything).Filter(func(s string) bool { return namedFile(s) == "" }), rapid.SampledFrom([]string{"", "true", "8080", "0x1", "null-"})).Draw(t, "arg")
	})...)
}

func drawEnv(t *rapid.T) []string {
	return some(t, func(t *rapid.T) string { return draw(t, `[A-S_][A-Z0-9_]{0,5}`) + "=" + anything(t) })
}

func drawInput(t *rapid.T, id string, service bool) Input {
	x := Input{ID: id, Run: []string{"node", "exploit.js"}, Env: drawEnv(t)}
	if maybe(t) {
		x.Title = drawTitle(t)
	}
	if maybe(t) {
		o := drawOracle(t, service, 1)
		x.Oracle = &o
	}
	return x
}

func drawExploit(t *rapid.T, id string, service bool) Exploit {
	x := Exploit{Input: drawInput(t, id, service)}
	if maybe(t) {
		x.Callback = "127.0.0.1:9099"
		x.Reached = &Oracle{Callback: drawText(t, maybe(t))}
	}
	if x.Oracle != nil && maybe(t) {
		x.Oracle.Slow = &Slow{Sizes: []int{rapid.IntRange(1, 9).Draw(t, "size"), 10, 100}, Factor: rapid.Float64Range(1.5, 1e6).Draw(t, "factor")}
	}
	return x
}

func drawText(t *rapid.T, empty bool) *Text {
	text := &Text{}
	if !empty {
		text.Contains = anything(t)
	}
	if !empty && maybe(t) {
		text.Matches = draw(t, `\^[a-z]{1,5}\$`) + `\s*(?s:.)`
	}
	return text
}

// drawOracle sets at least one field.
func drawOracle(t *rapid.T, service bool, depth int) Oracle {
	o := Oracle{}
	exit := rapid.IntRange(0, 255).Draw(t, "exit")
	o.Exit = &exit
	path := draw(t, `[a-z]{1,4}(/[a-z ]{1,4}[a-z])?`)
	switch rapid.IntRange(0, 8).Draw(t, "oracle") {
	case 0:
		o.Stdout, o.Stderr = drawText(t, false), drawText(t, false)
	case 1:
		o.File = rapid.SampledFrom([]*File{{Path: path, Exists: true}, {Path: path, Absent: true}, {Path: path, Exists: true, Contains: anything(t)}}).Draw(t, "file")
	case 2:
		o.File = &File{Path: path, SHA256: draw(t, `[0-9a-f]{64}`)}
	case 3:
		o.Crash = &Crash{Signal: rapid.SampledFrom(append([]string{""}, signals...)).Draw(t, "signal"), Frames: some(t, func(t *rapid.T) string { return draw(t, `[a-z_]{1,6}`) })}
	case 4:
		o.SQL = &SQL{File: path, Query: anything(t), Equal: anything(t)}
	case 5:
		if service {
			o.HTTP = &HTTP{
				Method: draw(t, `[A-Z]{1,5}`), URL: "http://127.0.0.1:8080/" + draw(t, `[!-~]{0,10}`), Body: anything(t), Status: rapid.IntRange(100, 599).Draw(t, "status"),
				Headers: map[string]string{draw(t, `[A-Za-z-]{1,5}`): draw(t, `[ -~]{0,5}`)}, Header: map[string]string{draw(t, `[A-Za-z-]{1,5}`): "^a"}, Lacks: "b+",
			}
		}
	case 6, 7, 8:
		if depth < maxDepth {
			o.All = some(t, func(t *rapid.T) Oracle { return drawOracle(t, service, depth+1) })
			o.Any = []Oracle{drawOracle(t, service, depth+1)}
			not := drawOracle(t, service, depth+1)
			o.Not = &not
		}
	}
	return o
}
