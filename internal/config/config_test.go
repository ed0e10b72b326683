package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"crisol"
	"crisol/internal/config"
)

// flags are some of each type.
func flags() *pflag.FlagSet {
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	set.String("addr", "127.0.0.1:8026", "")
	set.String("database", "", "")
	set.Int("limit-other", 1000, "")
	set.Bool("ab-testing", false, "")
	set.Duration("lease", 30*time.Second, "")
	set.StringSlice("trusted-proxy", nil, "")
	set.StringToString("keep", nil, "")
	return set
}

func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "crisol.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFill: the command line goes before the environment, that before the file, and the file before the defaults.
func TestFill(t *testing.T) {
	file := write(t, "addr: 127.0.0.1:1\nlimit-other: 5\nlease: 1m\ntrusted-proxy: [10.0.0.0/8, 192.0.2.0/24]\nkeep: {events: 7d, counts: forever}\nelsewhere: 1\n")
	set := flags()
	if err := set.Parse([]string{"--addr=127.0.0.1:3"}); err != nil {
		t.Fatal(err)
	}
	list, err := config.Fill(set, config.Sources{File: file, Shared: []string{"elsewhere"}, Lookup: environment(
		"PORT", "2", "CRISOL_LIMIT_OTHER", "7", "AB_TESTING_ENABLED", "true", "POSTGRES_HOST", "db", "POSTGRES_USER", "me", "POSTGRES_PASSWORD", "p@ss/w:rd", "CRISOL_LEASE", "")})
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Setting{
		{"ab-testing", "true", "AB_TESTING_ENABLED"}, {"addr", "127.0.0.1:3", config.FromCommandLine},
		{"database", "postgres://me:xxxxx@db:5432/crisol", "POSTGRES_HOST"}, {"keep", "[counts=forever,events=7d]", file + ":5"},
		{"lease", "1m0s", file + ":3"}, {"limit-other", "7", "CRISOL_LIMIT_OTHER"}, {"trusted-proxy", "[10.0.0.0/8,192.0.2.0/24]", file + ":4"},
	}
	for i, s := range list {
		if s.Name == "keep" && s.Value == "[events=7d,counts=forever]" { // maps have no order
			list[i].Value = "[counts=forever,events=7d]"
		}
	}
	if d := cmp.Diff(want, list); d != "" {
		t.Error(d)
	}
	if url, _ := set.GetString("database"); url != "postgres://me:p%40ss%2Fw%3Ard@db:5432/crisol" {
		t.Errorf("the password doesn't survive: %s", url)
	}
}

// TestOthers are the variables that deployments have anyway.
func TestOthers(t *testing.T) {
	for _, c := range []struct {
		flag, want string
		env        []string
	}{
		{"addr", "127.0.0.1:9000", []string{"PORT", "9000"}},
		{"addr", "127.0.0.1:1", []string{"PORT", "9000", "CRISOL_ADDR", "127.0.0.1:1"}},
		{"database", "postgres://a@b/c", []string{"DATABASE_URL", "postgres://a@b/c", "POSTGRES_HOST", "x"}},
		{"database", "postgres://crisol@db:5433/things", []string{"POSTGRES_HOST", "db", "POSTGRES_PORT", "5433", "POSTGRES_DB", "things"}},
		{"database", "postgres://crisol@/crisol?host=%2Frun%2Fpg&port=5432", []string{"POSTGRES_HOST", "/run/pg"}},
		{"database", "", []string{"POSTGRES_DB", "without-a-host"}},
		{"trusted-proxy", "[10.0.0.0/8,192.0.2.0/24]", []string{"CRISOL_TRUSTED_PROXY", "10.0.0.0/8,192.0.2.0/24"}},
	} {
		set := flags()
		if _, err := config.Fill(set, config.Sources{Lookup: environment(c.env...)}); err != nil {
			t.Fatal(c.env, err)
		}
		if got := set.Lookup(c.flag).Value.String(); got != c.want {
			t.Errorf("%s by %v is %s, want %s", c.flag, c.env, got, c.want)
		}
	}
}

// TestWrong: all that is wrong is told at once, with its place, and never with a password.
func TestWrong(t *testing.T) {
	file := write(t, "limit-othr: 5\nlease: soon\ntrusted-proxy: 10.0.0.0/8\nkeep: 3\nlimit-other: [1]\nab-testing: {a: b}\ndatabase:\n")
	_, err := config.Fill(flags(), config.Sources{File: file, Lookup: environment("PORT", "0", "CRISOL_KEEP", "events")})
	if crisol.KindOf(err) != crisol.KindInput {
		t.Fatalf("%v", err)
	}
	got := strings.ReplaceAll(err.Error(), file, "crisol.yaml")
	for _, want := range []string{
		`7 settings can't be used:`, `crisol.yaml:1: there is no setting "limit-othr" (did you mean limit-other?)`,
		`crisol.yaml:2: lease "soon": time: invalid duration "soon"`, `crisol.yaml:5: limit-other: want one value, not a list`,
		`crisol.yaml:6: ab-testing: want a value, not names and values`, `crisol.yaml:7: database: it has no value`, `PORT: "0" is no port`,
		`CRISOL_KEEP: keep "events": events must be formatted as key=value`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q isn't in:\n%s", want, got)
		}
	}
}

// TestFiles: files that are none.
func TestFiles(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""}, {"# nothing\n", ""}, {"- a\n", "crisol.yaml:1: want names and values"}, {"a: b: c\n", "crisol.yaml: "},
		{"addr: a\n---\naddr: b\n", "crisol.yaml: want a single YAML document"}, {"config: other.yaml\n", `crisol.yaml:1: there is no setting "config"`},
		{strings.Repeat("# much\n", 1<<18), "has more than 1048576 bytes"},
	} {
		file := write(t, c.text)
		_, err := config.Fill(flags(), config.Sources{File: file, Lookup: environment()})
		switch {
		case (err == nil) != (c.want == ""):
			t.Errorf("%.20q: %v", c.text, err)
		case err != nil && !strings.Contains(strings.ReplaceAll(err.Error(), file, "crisol.yaml"), c.want):
			t.Errorf("%.20q: %v, want %s", c.text, err, c.want)
		}
	}
	if _, err := config.Fill(flags(), config.Sources{File: "/there/is/none", Lookup: environment()}); err == nil || crisol.HintOf(err) == "" && !strings.Contains(err.Error(), "CRISOL_CONFIG") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestShown(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"addr", "127.0.0.1:1", "127.0.0.1:1"}, {"database", "postgres://u:secret@h/d", "postgres://u:xxxxx@h/d"},
		{"database", "postgres:///d?host=/run&password=secret", "postgres:///d?host=%2Frun&password=xxxxx"},
		{"database", "host=h password=secret", "(hidden)"}, {"redis", "redis://:secret@h:1/0", "redis://:xxxxx@h:1/0"}, {"webhook-secret", "whsec_abc", "(hidden)"},
		{"database", "postgres://u:sec\x00ret@h/d", "(hidden)"}, {"database", "", ""},
	} {
		if got := config.Shown(c.name, c.text); got != c.want {
			t.Errorf("%s %q is shown as %q, want %q", c.name, c.text, got, c.want)
		}
	}
}

// FuzzFile: whatever a file holds, it is read or refused, and a refusal says where.
func FuzzFile(f *testing.F) {
	for _, text := range []string{"addr: a\n", "keep: {a: b}\n", "trusted-proxy: [a, &x b, *x]\n", "? [a]\n: b\n", "a: !!binary x\n", "<<: {addr: b}\n"} {
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(dir, "crisol.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Fill(flags(), config.Sources{File: file, Lookup: environment()}); err != nil && !strings.Contains(err.Error(), file) {
			t.Errorf("%q: an error without a place: %v", text, err)
		}
	})
}
