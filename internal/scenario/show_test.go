package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// golden holds text against a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	at := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(at, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, at); got != want {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func shownScenarios(t *testing.T) []*Scenario {
	t.Helper()
	scoped := strings.NewReplacer(", severity: critical", "", "npm/lodash", "npm/%40scope/lodash")
	plain := load(t, beside(scoped.Replace(read(t, "testdata/good/contract.yaml"))))
	all := everything(t)
	plain.Digest, all.Digest = strings.Repeat("0f", 32), strings.Repeat("f0", 32) // the real one changes with the kit
	plain.Path, all.Path, plain.Embedded = "library/CVE-2019-10744", "my/scenario", true
	return []*Scenario{plain, all}
}

func TestWriteList(t *testing.T) {
	var b bytes.Buffer
	if err := WriteList(&b, shownScenarios(t)); err != nil {
		t.Fatal(err)
	}
	golden(t, "list.txt", b.String())
	if err := WriteList(full{}, shownScenarios(t)); !errors.Is(err, errFull) {
		t.Error(err)
	}
}

func TestWritePage(t *testing.T) {
	var b bytes.Buffer
	for _, s := range shownScenarios(t) {
		if err := s.WritePage(&b); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "pages.txt", b.String())
	if err := shownScenarios(t)[0].WritePage(full{}); !errors.Is(err, errFull) {
		t.Error(err)
	}
}

func TestJSON(t *testing.T) {
	scenarios := shownScenarios(t)
	text, err := json.MarshalIndent(map[string]any{"list": Summaries(scenarios), "show": scenarios[1].Detail()}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "json.txt", string(text)+"\n")
}

var errFull = errors.New("no space left")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestCommandLine(t *testing.T) {
	for want, args := range map[string][]string{
		"node exploit.js -x --a=b":     {"node", "exploit.js", "-x", "--a=b"},
		`sh -c 'echo "$X" it'\''s' ''`: {"sh", "-c", `echo "$X" it's`, ""},
		`$'a\nb\x1b[31m\'c'`:           {"a\nb\x1b[31m'c"},
	} {
		if got := CommandLine(args); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestNoWords says nothing of what isn't there.
func TestNoWords(t *testing.T) {
	var o *Oracle
	for _, s := range []interface{ String() string }{o, (*Text)(nil), (*File)(nil), (*HTTP)(nil), (*Slow)(nil), (*Crash)(nil), (*SQL)(nil)} {
		if s.String() != "" {
			t.Errorf("%T: %q", s, s.String())
		}
	}
}

// TestWriteLock reads locks back under the names that were given, though go.mod can't be stored under its own.
func TestWriteLock(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, manifestName), small("x", "CVE-2020-1000").Data, 0o644); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"go.mod": []byte("module work\n"), "go.sum": []byte("sum"), "sub/go.mod": []byte("module sub\n")}
	for _, files := range []map[string][]byte{{"old": nil}, want} {
		if err := WriteLock(dir, "target", files); err != nil {
			t.Fatal(err)
		}
	}
	s := load(t, os.DirFS(dir))
	for name, text := range want {
		if got, err := fs.ReadFile(s.LockFS("target"), name); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got := tree(t, s.LockFS("target")); !slices.Equal(got, []string{"go.mod.lock", "go.sum", "sub/go.mod.lock"}) {
		t.Error(got)
	}
	if got := s.Detail().Locked; !slices.Equal(got, []string{"target"}) {
		t.Error(got)
	}
	raw := fstest.MapFS{manifestName: small("x", "CVE-2020-1000"), "lock/target/go.mod": {Data: []byte("raw")}}
	if got, err := fs.ReadFile(load(t, raw).LockFS("target"), "go.mod"); err != nil || string(got) != "raw" {
		t.Error(string(got), err)
	}
	for _, side := range []string{"..", "../x", "", "/x"} {
		if err := WriteLock(dir, side, want); err == nil {
			t.Errorf("a lock of %q is written", side)
		}
	}
	if err := WriteLock(filepath.Join(dir, "nowhere"), "target", want); err == nil {
		t.Error("a lock is written to a folder that isn't there")
	}
	if err := WriteLock(dir, "target", map[string][]byte{"a": nil, "a/b": nil}); err == nil {
		t.Error("a lock is written over another")
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "lock")), os.Symlink("/tmp", filepath.Join(dir, "lock"))); err != nil {
		t.Fatal(err)
	}
	if err := WriteLock(dir, "target", want); err == nil {
		t.Error("a lock is written through a symbolic link")
	}
}
