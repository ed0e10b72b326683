package scenario

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"go.yaml.in/yaml/v4"

	"crisol"
)

// FuzzManifest reads any text as a manifest: reading never panics, every problem names its line, and what is accepted
// means the same when it is written out again and read.
func FuzzManifest(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml", "../../scenarios/app-*/scenario.yaml", "../../scenarios/c-*/scenario.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatal(pattern, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		fsys := beside(string(text))
		s, err := Load(fsys, "")
		if err != nil {
			located(t, text, err)
			return
		}
		again, err := yaml.Marshal(written(s.Manifest))
		if err != nil {
			t.Fatal(err)
		}
		fsys[manifestName].Data = again
		second, err := Load(fsys, "")
		if err != nil {
			t.Fatalf("accepted:\n%s\nrefused when written again:\n%s\n%v", text, again, err)
		}
		if !reflect.DeepEqual(s.Manifest, second.Manifest) {
			t.Fatalf("accepted:\n%s\nmeans another thing when written again:\n%s", text, again)
		}
		var page bytes.Buffer
		if err := s.WritePage(&page); err != nil || bytes.ContainsRune(page.Bytes(), 0x1b) {
			t.Fatalf("the page: %v\n%q", err, page.String())
		}
	})
}

// located checks that each problem names a line of the text.
func located(t *testing.T, text []byte, err error) {
	t.Helper()
	var problems Problems
	if !errors.As(err, &problems) || crisol.KindOf(err) != crisol.KindInput {
		t.Fatalf("refused, but not for problems: %v", err)
	}
	lines := 2 + bytes.Count(text, []byte("\n")) + bytes.Count(text, []byte("\r")) + bytes.Count(text, []byte("\u0085")) +
		bytes.Count(text, []byte("\u2028")) + bytes.Count(text, []byte("\u2029"))
	for _, p := range problems {
		if p.File != manifestName || p.Line < 1 || p.Line > lines || p.Message == "" {
			t.Fatalf("a problem that isn't located in %d lines: %+v", lines, p)
		}
	}
}

// entries is a mapping to be written.
type entries map[string]any

// set puts a value unless it is the zero value.
func (e entries) set(name string, value any) {
	if v := reflect.ValueOf(value); v.IsValid() && !v.IsZero() && (v.Kind() != reflect.Slice && v.Kind() != reflect.Map || v.Len() > 0) {
		e[name] = value
	}
}

func each[T any](list []T, write func(T) any) []any {
	var out []any
	for _, item := range list {
		out = append(out, write(item))
	}
	return out
}

// written turns a manifest into what YAML is to be made of.
func written(m Manifest) entries {
	e := entries{"schema": m.Schema, "id": m.ID, "title": m.Title, "exploits": each(m.Exploits, writtenExploit)}
	if !m.Verified.IsZero() {
		e["verified"] = m.Verified.Format("2006-01-02")
	}
	v, l, target := entries{}, entries{}, entries{"reference": writtenFix(m.Target.Reference)}
	v.set("cve", m.Vulnerability.CVE)
	v.set("aliases", m.Vulnerability.Aliases)
	v.set("cwe", m.Vulnerability.CWE)
	v.set("severity", m.Vulnerability.Severity)
	v.set("type", m.Vulnerability.Type)
	v.set("advisories", m.Vulnerability.Advisories)
	target.set("package", m.Target.Package)
	target.set("dir", m.Target.Dir)
	target.set("with", m.Target.With)
	target.set("incomplete", each(m.Target.Incomplete, writtenFix))
	if m.Target.Decoy != nil {
		target["decoy"] = writtenFix(*m.Target.Decoy)
	}
	target.set("build", each(m.Target.Build, func(s Step) any {
		step := entries{"run": s.Run}
		step.set("dir", s.Dir)
		return step
	}))
	if s := m.Target.Service; s != nil {
		service := entries{"run": s.Run, "ready": entries{"tcp": s.Ready.TCP, "within": s.Ready.Within.String()}}
		service.set("env", s.Env)
		target["service"] = service
	}
	if m.Limits.Timeout != 0 {
		l["timeout"] = m.Limits.Timeout.String()
	}
	l.set("memory", m.Limits.Memory)
	l.set("processes", m.Limits.Processes)
	l.set("disk", m.Limits.Disk)
	e["vulnerability"], e["target"], e["limits"] = v, target, l
	e.set("kit", m.Kit)
	e.set("benign", each(m.Benign, func(x Input) any { return writtenInput(x) }))
	e.set("tests", each(m.Tests, func(x Input) any { return writtenInput(x) }))
	return e
}

func writtenFix(f Fix) any {
	e := entries{}
	e.set("package", f.Package)
	e.set("patch", f.Patch)
	e.set("dir", f.Dir)
	return e
}

func writtenInput(x Input) entries {
	e := entries{"id": x.ID, "run": x.Run}
	e.set("title", x.Title)
	e.set("env", x.Env)
	if x.Oracle != nil {
		e["oracle"] = writtenOracle(*x.Oracle)
	}
	return e
}

func writtenExploit(x Exploit) any {
	e := writtenInput(x.Input)
	e.set("callback", x.Callback)
	if x.Reached != nil {
		e["reached"] = writtenOracle(*x.Reached)
	}
	return e
}

func writtenOracle(o Oracle) any {
	e := entries{}
	if o.Exit != nil {
		e["exit"] = *o.Exit
	}
	if o.Stdout != nil {
		e["stdout"] = writtenText(o.Stdout)
	}
	if o.Stderr != nil {
		e["stderr"] = writtenText(o.Stderr)
	}
	if o.File != nil {
		e["file"] = writtenFile(o.File)
	}
	if o.HTTP != nil {
		e["http"] = writtenHTTP(o.HTTP)
	}
	if o.Slow != nil {
		e["slow"] = entries{"sizes": o.Slow.Sizes, "factor": o.Slow.Factor}
	}
	if o.Crash != nil {
		crash := entries{}
		crash.set("signal", o.Crash.Signal)
		crash.set("sanitizer", o.Crash.Sanitizer)
		crash.set("frames", o.Crash.Frames)
		e["crash"] = crash
	}
	if o.Callback != nil {
		e["callback"] = any(true)
		if *o.Callback != (Text{}) {
			e["callback"] = writtenText(o.Callback)
		}
	}
	if o.SQL != nil {
		e["sql"] = entries{"file": o.SQL.File, "query": o.SQL.Query, "equal": o.SQL.Equal}
	}
	e.set("all", each(o.All, writtenOracle))
	e.set("any", each(o.Any, writtenOracle))
	if o.Not != nil {
		e["not"] = writtenOracle(*o.Not)
	}
	return e
}

func writtenText(t *Text) any {
	e := entries{}
	e.set("contains", t.Contains)
	e.set("matches", t.Matches)
	return e
}

func writtenFile(f *File) any {
	e := entries{"path": f.Path}
	e.set("exists", f.Exists)
	e.set("absent", f.Absent)
	e.set("contains", f.Contains)
	e.set("sha256", f.SHA256)
	return e
}

func writtenHTTP(h *HTTP) any {
	e := entries{"url": h.URL, "method": h.Method}
	e.set("headers", h.Headers)
	e.set("body", h.Body)
	e.set("status", h.Status)
	e.set("header", h.Header)
	e.set("matches", h.Matches)
	e.set("lacks", h.Lacks)
	return e
}
