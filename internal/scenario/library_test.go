package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"crisol"
	"crisol/scenarios"
)

// TestLibrary holds the embedded library against the folders that it is made of: every scenario loads, is named by its
// folder, and not one of its files was left out of the binary.
func TestLibrary(t *testing.T) {
	library, err := Library()
	if err != nil {
		t.Error(err)
	}
	folded := map[string]string{}
	for _, s := range library.All() {
		if other, twice := folded[strings.ToLower(s.ID)]; twice {
			t.Errorf("%s and %s differ only in case", other, s.ID)
		}
		folded[strings.ToLower(s.ID)] = s.ID
		if !s.Embedded || s.Path != "library/"+s.ID {
			t.Errorf("%s: Embedded %v, Path %q", s.ID, s.Embedded, s.Path)
		}
	}
	onDisk := os.DirFS("../../scenarios")
	walk := func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if err == nil && litter(path.Base(name)) {
				return fs.SkipDir
			}
			return err
		}
		if entry.Type()&fs.ModeSymlink != 0 {
			t.Errorf("%s is a symbolic link, which can't be embedded", name)
			return nil
		}
		want, err := fs.ReadFile(onDisk, name)
		if errors.Is(err, fs.ErrNotExist) { // gone since it was listed
			return nil
		} else if err != nil {
			return err
		}
		if got, err := fs.ReadFile(scenarios.Files, name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not in the binary as it is on disk: %v", name, err)
		}
		return nil
	}
	if err := fs.WalkDir(onDisk, ".", walk); err != nil {
		t.Fatal(err)
	}
}

func small(id, cve string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("schema: crisol/v1\nid: " + id + "\ntitle: t\nvulnerability: {cve: " + cve + ", aliases: [GHSA-2345-6789-cfgh]}\n" +
		"target: {package: pkg:npm/x@1.0.0, reference: {package: pkg:npm/x@1.0.1}}\nexploits: [{id: a, run: [\"true\"], oracle: {exit: 0}}]\n")}
}

func TestIndex(t *testing.T) {
	fsys := fstest.MapFS{
		"b/scenario.yaml": small("b", "CVE-2020-1000"), "A/scenario.yaml": small("A", "CVE-2020-1000"), "c/scenario.yaml": small("c", "CVE-2020-1001"),
		"embed.go": {}, "notes/x.txt": {},
	}
	x, err := index(fsys, "library")
	if err != nil {
		t.Fatal(err)
	}
	ids := func(list []*Scenario) (ids []string) {
		for _, s := range list {
			ids = append(ids, s.ID)
		}
		return ids
	}
	if got := ids(x.All()); !slices.Equal(got, []string{"A", "b", "c"}) {
		t.Error(got)
	}
	if s := x.Find("a"); s == nil || s.ID != "A" || x.Find("CVE-2020-1000") != nil {
		t.Error(s)
	}
	for alias, want := range map[string][]string{"cve-2020-1000": {"A", "b"}, "CVE-2020-1001": {"c"}, "GHSA-2345-6789-CFGH": {"A", "b", "c"}, "B": {"b"}, "": nil, "x": nil} {
		if got := ids(x.ByAlias(alias)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", alias, got, want)
		}
	}
	fsys["d/scenario.yaml"], fsys["e/scenario.yaml"] = small("other", "CVE-2020-1000"), &fstest.MapFile{Data: []byte("id: e")}
	x, err = index(fsys, "library")
	if err == nil || !strings.Contains(err.Error(), `library/d has the id "other"`) || !strings.Contains(err.Error(), "library/e/scenario.yaml:1: missing key") {
		t.Error(err)
	}
	if got := ids(x.All()); !slices.Equal(got, []string{"A", "b", "c"}) {
		t.Error(got)
	}
}

// TestOpen finds scenarios the ways in which people name them.
func TestOpen(t *testing.T) {
	library, err := Library()
	if err != nil || len(library.All()) == 0 {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	first := library.All()[0].ID
	for _, name := range []string{"mine", first} {
		if err := errors.Join(os.Mkdir(name, 0o755), os.WriteFile(filepath.Join(name, manifestName), small("mine", "CVE-2020-1000").Data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, id, path string }{
		{first, first, "library/" + first},
		{strings.ToUpper(first), first, "library/" + first},
		{strings.ToLower(first), first, "library/" + first},
		{"./" + first, "mine", first},
		{"mine", "mine", "mine"},
		{"mine/", "mine", "mine"},
		{filepath.Join(dir, "mine"), "mine", filepath.Join(dir, "mine")},
		{"mine/scenario.yaml", "mine", "mine"},
	} {
		s, err := Open(c.name)
		if err != nil || s.ID != c.id || s.Path != c.path || s.Embedded != strings.HasPrefix(c.path, "library/") {
			t.Errorf("%s: %v, %v", c.name, s, err)
		}
	}
	t.Chdir("mine")
	for _, name := range []string{".", "scenario.yaml", "../mine"} {
		if s, err := Open(name); err != nil || s.ID != "mine" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile("file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want, hint string
		kind             crisol.Kind
	}{
		{"", "no scenario is named", "crisol scenario list", crisol.KindInput},
		{"./nowhere", "there is no folder ./nowhere", "", crisol.KindNotFound},
		{"./file", "./file is not a folder", "scenario.yaml", crisol.KindInput},
		{"file/x", "open the scenario", "", crisol.KindInput},
		{"..", ".. has no scenario.yaml", "crisol scenario new", crisol.KindInput},
		{first + "x", "there is no scenario", "did you mean " + first, crisol.KindNotFound},
		{"something else entirely", "there is no scenario", "crisol scenario list", crisol.KindNotFound},
	} {
		_, err := Open(c.name)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(crisol.HintOf(err), c.hint) || crisol.KindOf(err) != c.kind {
			t.Errorf("%q: %v (hint %q, kind %v), want %s", c.name, err, crisol.HintOf(err), crisol.KindOf(err), c.want)
		}
	}
}

// TestOpenAlias finds a scenario of the library by what its vulnerability is called, and says so when there are more.
func TestOpenAlias(t *testing.T) {
	library, err := Library()
	if err != nil {
		t.Fatal(err)
	}
	unique, shared := "", ""
	for _, s := range library.All() {
		for _, alias := range s.names() {
			if n := len(library.ByAlias(alias)); n == 1 && alias != s.ID && unique == "" {
				unique = alias
			} else if n > 1 && library.Find(alias) == nil {
				shared = alias
			}
		}
	}
	if unique == "" || shared == "" {
		t.Fatalf("the library has no scenario to test this with: %q, %q", unique, shared)
	}
	if s, err := Open(strings.ToLower(unique)); err != nil || s.ID != library.ByAlias(unique)[0].ID {
		t.Error(s, err)
	}
	_, err = Open(shared)
	for _, s := range library.ByAlias(shared) {
		if err == nil || !strings.Contains(err.Error(), s.ID) || crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%v doesn't name %s", err, s.ID)
		}
	}
}

// TestLibraryIsLocked wants a lock for every package of the library, so that the same trees come back next year.
func TestLibraryIsLocked(t *testing.T) {
	library, err := Library()
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, s := range library.All() {
		sides := map[string]string{"target": s.Target.Package, "reference": s.Target.Reference.Package}
		for i, fix := range s.Target.Incomplete {
			sides[fmt.Sprintf("incomplete-%d", i)] = fix.Package
		}
		if s.Target.Decoy != nil {
			sides["decoy"] = s.Target.Decoy.Package
		}
		for side, purl := range sides {
			if purl != "" && s.LockFS(side) == nil {
				missing = append(missing, s.ID+"/lock/"+side)
			}
		}
	}
	if slices.Sort(missing); len(missing) > 0 {
		t.Errorf("run crisol scenario lock: %d locks are missing: %s", len(missing), strings.Join(missing, ", "))
	}
}
