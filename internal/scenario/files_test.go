package scenario

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func tree(t *testing.T, fsys fs.FS) []string {
	t.Helper()
	names := []string{}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func everything(t *testing.T) *Scenario {
	t.Helper()
	fsys := beside(read(t, "testdata/good/everything.yaml"))
	fsys["__pycache__/x.pyc"] = &fstest.MapFile{}
	fsys["payloads/README.md"] = &fstest.MapFile{}
	fsys["other.diff"] = &fstest.MapFile{}
	return load(t, fsys)
}

// TestWorkFiles lays everything at /work but what the trial itself, the target and its fixes are made of.
func TestWorkFiles(t *testing.T) {
	work := everything(t).WorkFiles()
	want := []string{"app.js", "benign.js", "build.sh", "exploit.js", "other.diff", "payloads/README.md", "payloads/evil.json"}
	if got := tree(t, work); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := fstest.TestFS(work, want...); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"scenario.yaml", "app", "app/app.js", "fix.diff", "lock/target/package-lock.json", "fixed/app.js", "../x"} {
		if _, err := work.Open(name); err == nil {
			t.Errorf("%s can be opened", name)
		}
		if _, err := fs.ReadDir(work, name); err == nil {
			t.Errorf("%s can be listed", name)
		}
	}
}

// TestListInPieces lists a folder a few entries at a time, among which some are hidden.
func TestListInPieces(t *testing.T) {
	f, err := everything(t).WorkFiles().Open(".")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		entries, err := f.(fs.ReadDirFile).ReadDir(1)
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if err != nil {
			break
		}
	}
	// fixes/ is left: only the diff in it is taken out.
	if want := []string{"app.js", "benign.js", "build.sh", "exploit.js", "fixes", "other.diff", "payloads"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLockFS(t *testing.T) {
	s := everything(t)
	if got := tree(t, s.LockFS("target")); !slices.Equal(got, []string{"package-lock.json"}) {
		t.Error(got)
	}
	for _, side := range []string{"reference", "incomplete-0", "target/package-lock.json", "../app", ""} {
		if s.LockFS(side) != nil {
			t.Errorf("there is a lock of %s", side)
		}
	}
}

// TestMaterialise writes the layer: the scenario's files and the kit's, with modes that don't depend on their source.
func TestMaterialise(t *testing.T) {
	fsys := beside(read(t, "testdata/good/everything.yaml"))
	fsys["build.sh"] = &fstest.MapFile{Data: []byte("#!/bin/sh\n"), Mode: 0o400}
	fsys["exploit.js"].Mode = 0o777
	dir := filepath.Join(t.TempDir(), "not", "there")
	if err := load(t, fsys).Materialise(dir); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		rel, _ := filepath.Rel(dir, name)
		got = append(got, fmt.Sprintf("%s %o", filepath.ToSlash(rel), info.Mode().Perm()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		". 755", "app.js 644", "benign.js 644", "build.sh 755", "exploit.js 644", "fixes 755",
		"node_modules 755", "node_modules/@crisol 755", "node_modules/@crisol/trial 755",
		"node_modules/@crisol/trial/index.js 644", "node_modules/@crisol/trial/package.json 644",
		"payloads 755", "payloads/evil.json 644",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := load(t, fsys).Materialise(dir); err == nil {
		t.Error("a layer is written over another")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := load(t, fsys).Materialise(file); err == nil {
		t.Error("a layer is written over a file")
	}
}
