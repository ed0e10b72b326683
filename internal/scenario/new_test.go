package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"crisol"
)

// TestNew starts a scenario of every kind; each loads, and says what it was told.
func TestNew(t *testing.T) {
	for kind, o := range map[string]NewOptions{
		"npm":    {},
		"pypi":   {Package: "pkg:pypi/zope.interface@5.0.0", Reference: "pkg:pypi/zope.interface@5.0.1"},
		"golang": {Kind: "golang", Package: "pkg:golang/github.com/x/y@v1.2.3", Reference: "pkg:golang/github.com/x/y@v1.2.4"},
		"maven":  {Kind: "maven"},
		"dir":    {Kind: "dir"},
	} {
		t.Run(kind, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a b", kind)
			if err := New(dir, "0x10", o); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if s.ID != "0x10" || s.Summary().Ecosystem != kind || s.Target.Package != o.Package && o.Package != "" || s.Target.Reference.Package != o.Reference && o.Reference != "" {
				t.Errorf("%+v", s.Summary())
			}
			if len(s.Exploits) == 0 || len(s.Benign) == 0 || s.Kit == "" {
				t.Errorf("%+v", s.Manifest)
			}
			for _, name := range s.laid() {
				text := read(t, filepath.Join(dir, name))
				if strings.Contains(text, "[[") || strings.HasSuffix(name, starterSuffix) {
					t.Errorf("%s is still a template:\n%s", name, text)
				}
			}
			if err := New(dir, "again", o); crisol.KindOf(err) != crisol.KindInput || !strings.Contains(err.Error(), "is not empty") {
				t.Errorf("written over: %v", err)
			}
		})
	}
	for _, kind := range Kinds {
		if _, err := os.Stat(filepath.Join("starter", kind, "scenario.yaml.tmpl")); err != nil {
			t.Error(err)
		}
	}
}

// TestNewImports writes the package's name as its language imports it.
func TestNewImports(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	if err := New(dir, "x", NewOptions{Package: "pkg:pypi/zope.interface@5.0.0", Reference: "pkg:pypi/zope.interface@5.0.1"}); err != nil {
		t.Fatal(err)
	}
	if text := read(t, filepath.Join(dir, "exploit.py")); !strings.Contains(text, "import zope_interface as target") {
		t.Error(text)
	}
	if text := read(t, filepath.Join(dir, manifestName)); !strings.Contains(text, "crisol scenario test "+dir) {
		t.Error(text)
	}
	t.Chdir(t.TempDir())
	if err := New("lodash", "lodash", NewOptions{}); err != nil {
		t.Fatal(err)
	}
	if text := read(t, "lodash/scenario.yaml"); !strings.Contains(text, "crisol scenario test ./lodash\n") {
		t.Error(text)
	}
}

// TestNewSketches starts a scenario of every class that has a sketch: its language reads it, and its manifest says how it
// is judged.
func TestNewSketches(t *testing.T) {
	for kind, c := range map[string]struct{ ext, check, pkg, fixed string }{
		"npm":  {".js", "node --check $1", "pkg:npm/%40a/b@1.0.0", "pkg:npm/%40a/b@1.0.1"},
		"pypi": {".py", `python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' $1`, "pkg:pypi/zope.interface@5.0.0", "pkg:pypi/zope.interface@5.0.1"},
	} {
		entries, err := starters.ReadDir("starter/sketches/" + kind)
		if err != nil || len(entries) < 9 {
			t.Fatal(entries, err)
		}
		for _, entry := range entries {
			class := strings.TrimSuffix(entry.Name(), c.ext+starterSuffix)
			dir := filepath.Join(t.TempDir(), class)
			err := New(dir, class, NewOptions{Package: c.pkg, Reference: c.fixed, Type: class, Title: "a: b # c", CWE: []string{"CWE-1"}, Severity: "low"})
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir)
			if err != nil || s.Vulnerability.Type != class || s.Title != "a: b # c" || s.Vulnerability.Severity != "low" {
				t.Errorf("%+v %v", s, err)
			}
			if judged := s.Exploits[0].Oracle != nil; judged != (judges[class] != "") {
				t.Errorf("%s/%s: judged from outside: %v", kind, class, judged)
			}
			exploit := filepath.Join(dir, "exploit"+c.ext)
			if out, err := exec.Command("sh", "-c", c.check, "sh", exploit).CombinedOutput(); err != nil {
				t.Errorf("%s/%s: %v\n%s", kind, class, err, out)
			}
			if text := read(t, exploit); strings.Contains(text, "[[") || !strings.Contains(text, "t.attack(") || !strings.Contains(text, "<-") {
				t.Errorf("%s/%s:\n%s", kind, class, text)
			}
		}
	}
	// A class without a sketch begins like any other, and is what it is called.
	dir := filepath.Join(t.TempDir(), "x")
	if err := New(dir, "x", NewOptions{Type: "csrf", Title: "T"}); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(dir); err != nil || s.Vulnerability.Type != "csrf" || s.Exploits[0].Oracle != nil {
		t.Errorf("%+v %v", s, err)
	}
	if text := read(t, filepath.Join(dir, manifestName)); !strings.Contains(text, "the advisory names none") || !strings.Contains(text, "the advisory doesn't say") {
		t.Error(text)
	}
}

func TestNewRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const a, b = "pkg:npm/x@1.0.0", "pkg:npm/x@1.0.1"
	for _, c := range []struct {
		dir, id, want string
		o             NewOptions
	}{
		{"", ".", "can't be an id", NewOptions{}},
		{"", "", "can't be an id", NewOptions{}},
		{"", strings.Repeat("x", 200), "can't be an id", NewOptions{}},
		{"", "x", `no kind "ruby"`, NewOptions{Kind: "ruby"}},
		{"", "x", `no class "ruby"`, NewOptions{Type: "ruby"}},
		{"", "x", `no kind "cargo"`, NewOptions{Package: "pkg:cargo/x@1.0.0"}},
		{"", "x", "is not of the kind pypi", NewOptions{Kind: "pypi", Package: a, Reference: b}},
		{"", "x", "version", NewOptions{Package: "pkg:npm/x"}},
		{"", "x", "version", NewOptions{Package: a, Reference: "pkg:npm/x"}},
		{"", "x", "no version that fixes", NewOptions{Package: a}},
		{"", "x", "but no package", NewOptions{Reference: b}},
		{"", "x", "another package", NewOptions{Package: a, Reference: "pkg:npm/y@1.0.1"}},
		{"", "x", "can't fix itself", NewOptions{Package: a, Reference: a}},
		{file, "x", "not a directory", NewOptions{}},
		{filepath.Join(file, "x"), "x", "not a directory", NewOptions{}},
	} {
		dir := c.dir
		if dir == "" {
			dir = filepath.Join(t.TempDir(), "new")
		}
		err := New(dir, c.id, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%+v: %v (kind %v)", c, err, crisol.KindOf(err))
		}
		if _, err := os.Stat(dir); c.dir == "" && err == nil {
			t.Errorf("%+v: the folder was made all the same", c)
		}
	}
}
