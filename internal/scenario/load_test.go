package scenario

import (
	"errors"
	"flag"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"crisol"
)

var update = flag.Bool("update", false, "write the golden messages anew")

// beside is a folder with all that the manifests of testdata name.
func beside(manifest string) fstest.MapFS {
	fsys := fstest.MapFS{manifestName: {Data: []byte(manifest)}}
	for _, name := range []string{
		"exploit.js", "benign.js", "app.js", "build.sh", "payloads/evil.json", "README.md",
		"fix.diff", "decoy.patch", "fixes/half.diff", "fixed/app.js",
		"app/app.js", "app/main.c", "app/test/unit.js", "app/lib/x.js", "lock/target/package-lock.json",
	} {
		fsys[name] = &fstest.MapFile{Data: []byte("content of " + name)}
	}
	return fsys
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func load(t *testing.T, fsys fs.FS) *Scenario {
	t.Helper()
	s, err := Load(fsys, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestBadManifests holds each bad manifest against the messages beside it: all that is wrong, each with its line.
func TestBadManifests(t *testing.T) {
	names, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(names) < 25 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			_, err := Load(beside(read(t, name)), "")
			var problems Problems
			if !errors.As(err, &problems) || crisol.KindOf(err) != crisol.KindInput || crisol.HintOf(err) == "" {
				t.Fatalf("error %v of kind %v with hint %q", err, crisol.KindOf(err), crisol.HintOf(err))
			}
			for _, p := range problems {
				if p.File != manifestName || p.Line < 1 || p.Message == "" {
					t.Errorf("a problem without its place: %+v", p)
				}
			}
			golden, got := strings.TrimSuffix(name, ".yaml")+".txt", err.Error()+"\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := read(t, golden); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestEverything(t *testing.T) {
	s := load(t, beside(read(t, "testdata/good/everything.yaml")))
	if !s.Verified.Equal(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)) {
		t.Error(s.Verified)
	}
	if s.Target.Dir != "app" || s.Target.Incomplete[1].Dir != "fixed" || s.Target.Decoy.Patch != "decoy.patch" {
		t.Errorf("%+v", s.Target)
	}
	if b := s.Target.Build; len(b) != 3 || b[0].Run[1] != "all" || b[1].Dir != "/work" || b[2].Run[2] != "/work/bin/prog" {
		t.Errorf("%+v", b)
	}
	service := s.Target.Service
	if !slices.Equal(service.Run, []string{"node", "app.js", "8080", "true"}) || service.Ready.Within != 500*time.Millisecond {
		t.Errorf("%+v", service)
	}
	if l := s.Limits; l != (Limits{Timeout: 90 * time.Second, Memory: 1 << 30, Processes: 4096, Disk: 1 << 20}) {
		t.Errorf("%+v", l)
	}
	x := s.Exploits
	if x[0].Oracle.Callback == nil || *x[0].Oracle.Callback != (Text{}) || x[0].Reached.Stdout.Contains != "reached ${token}" {
		t.Errorf("%+v", x[0])
	}
	if slow := x[2].Oracle.Slow; !slices.Equal(slow.Sizes, []int{1000, 2000, 4000}) || slow.Factor != 7.5 || x[3].Oracle.Slow.Factor != 5 {
		t.Errorf("%+v", slow)
	}
	if c := x[4].Oracle.Any; c[0].Crash.Signal != "SIGSEGV" || !slices.Equal(c[1].Crash.Frames, []string{"parse", "main"}) || c[2].Crash == nil || c[3].Crash == nil {
		t.Errorf("%+v", c)
	}
	all := x[5].Oracle.All
	if *all[0].Exit != 1 || all[0].Stderr.Contains != "12" || all[1].Not.Stdout.Matches != "^no$" {
		t.Errorf("%+v", all[:2])
	}
	if h := all[2].HTTP; h.Method != http.MethodPost || h.URL != "http://127.0.0.1:8080/../%/x?y#z" || h.Headers["X-One"] != "1" ||
		h.Header["location"] != "^http" || h.Body != "a\nb" || h.Status != 200 || h.Matches != "<script>" || h.Lacks != "nothing" {
		t.Errorf("%+v", h)
	}
	const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for i, want := range []File{
		{Path: "marker", Exists: true}, {Path: "gone", Absent: true}, {Path: "out/a.txt", Exists: true}, {Path: "b.txt", Absent: true},
		{Path: "c.txt", Contains: "${token}"}, {Path: "c.txt", SHA256: sum}, {Path: "c.txt", SHA256: sum},
	} {
		if got := *all[3+i].File; got != want {
			t.Errorf("file oracle %d: %+v, want %+v", i, got, want)
		}
	}
	if *all[10].SQL != (SQL{File: "app/shop.db", Query: "SELECT 1", Equal: "1"}) || x[6].Oracle != nil {
		t.Errorf("%+v", all[10].SQL)
	}
}

func TestContract(t *testing.T) {
	s := load(t, beside(read(t, "testdata/good/contract.yaml")))
	if s.Target.Reference.Package != "pkg:npm/lodash@4.17.12" || len(s.Target.Build) != 0 || *s.Exploits[0].Oracle.Exit != 0 || s.Tests[0].Oracle != nil {
		t.Errorf("%+v", s.Manifest)
	}
}

func TestNoManifest(t *testing.T) {
	_, err := Load(fstest.MapFS{}, "some/folder")
	if crisol.KindOf(err) != crisol.KindInput || !strings.Contains(err.Error(), "some/folder has no scenario.yaml") || crisol.HintOf(err) == "" {
		t.Error(err)
	}
	if _, err := Load(fstest.MapFS{manifestName: {Mode: fs.ModeDir}}, ""); crisol.KindOf(err) != crisol.KindInput {
		t.Error(err)
	}
}

func TestTooLarge(t *testing.T) {
	_, err := Load(fstest.MapFS{manifestName: {Data: []byte("#" + strings.Repeat("x", maxManifest))}}, "")
	if err == nil || !strings.Contains(err.Error(), "scenario.yaml:1: the manifest has 1048577 bytes") {
		t.Error(err)
	}
}

// TestFlood bounds what an error says of a manifest in which nothing is right.
func TestFlood(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		b.WriteString(strings.Repeat("k", i%300+1) + strings.Repeat("j", i/300+1) + ": 1\n")
	}
	_, err := Load(fstest.MapFS{manifestName: {Data: []byte(b.String())}}, "")
	var problems Problems
	if !errors.As(err, &problems) || len(problems) < 1000 || len(err.Error()) > 20_000 || !strings.Contains(err.Error(), "more problems") {
		t.Errorf("%d problems, %d bytes", len(problems), len(err.Error()))
	}
}

// TestUnsafeFolders refuses what can't be laid out or embedded, and names it.
func TestUnsafeFolders(t *testing.T) {
	manifest := read(t, "testdata/good/contract.yaml")
	write := func(t *testing.T, dir string) {
		t.Helper()
		for name, file := range beside(manifest) {
			at := filepath.Join(dir, filepath.FromSlash(name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, file.Data, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name, want string
		spoil      func(dir string) error
	}{
		{"symlink", "x/link: unsafe path: a symbolic link", func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "link")) }},
		{"symlinked folder", "x/app/up: unsafe path: a symbolic link", func(dir string) error { return os.Symlink("..", filepath.Join(dir, "app", "up")) }},
		{"repository", "x/app/.git: unsafe path: .git", func(dir string) error { return os.Mkdir(filepath.Join(dir, "app", ".git"), 0o755) }},
		{"submodule", "x/.GIT: unsafe path: .git", func(dir string) error { return os.WriteFile(filepath.Join(dir, ".GIT"), nil, 0o644) }},
		{"pipe", "x/pipe: only files and folders", func(dir string) error { return mkfifo(filepath.Join(dir, "pipe")) }},
		{"hides the target", "x/scenario.yaml:6: the folder's node_modules/ would be laid over", func(dir string) error { return os.Mkdir(filepath.Join(dir, "node_modules"), 0o755) }},
		{"too large", "x: the folder has more than", func(dir string) error {
			at := filepath.Join(dir, "large.bin")
			return errors.Join(os.WriteFile(at, nil, 0o644), os.Truncate(at, maxFolder))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir)
			if _, err := Load(os.DirFS(dir), "x"); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(os.DirFS(dir), "x"); err == nil || !strings.Contains(err.Error(), c.want) || crisol.KindOf(err) != crisol.KindInput {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestKitNotHidden(t *testing.T) {
	fsys := beside(read(t, "testdata/good/everything.yaml"))
	fsys["node_modules/@crisol/trial/index.js"] = &fstest.MapFile{}
	_, err := Load(fsys, "")
	if err == nil || !strings.Contains(err.Error(), `"node_modules/@crisol/trial/index.js" would hide the kit's own`) {
		t.Error(err)
	}
}

// TestDigest shows what a scenario's version depends on: every name and byte that matters, and nothing else.
func TestDigest(t *testing.T) {
	manifest := read(t, "testdata/good/everything.yaml")
	want := load(t, beside(manifest)).Digest
	if !sha256Form.MatchString(want) {
		t.Fatal(want)
	}
	for name, same := range map[string]bool{
		"README.md": true, "__pycache__/exploit.pyc": true, "app/.DS_Store": true, "exploit.js~": true,
		"exploit.js": false, "app/app.js": false, "lock/target/package-lock.json": false, "new": false, "app/README.md": false,
	} {
		fsys := beside(manifest)
		fsys[name] = &fstest.MapFile{Data: []byte("changed")}
		if got := load(t, fsys).Digest; (got == want) != same {
			t.Errorf("after a change of %s the digest is the same: %v", name, got == want)
		}
	}
	if load(t, beside(manifest+"# \n")).Digest == want || load(t, beside(strings.Replace(manifest, "kit: node", "kit: python", 1))).Digest == want {
		t.Error("the manifest is not in the digest")
	}
	moved, renamed := beside(manifest), beside(manifest)
	moved["a"], renamed["ab"] = &fstest.MapFile{Data: []byte("bc")}, &fstest.MapFile{Data: []byte("c")}
	if load(t, moved).Digest == load(t, renamed).Digest {
		t.Error("a byte moved from a name to a content doesn't show")
	}
}

// failing is a folder of which some names can't be read.
type failing struct {
	fs.FS
	names []string
}

var errDisk = errors.New("input/output error")

func (f failing) Open(name string) (fs.File, error) {
	if slices.Contains(f.names, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errDisk}
	}
	return f.FS.Open(name)
}

// TestUnreadable never takes what could not be read for what isn't there.
func TestUnreadable(t *testing.T) {
	good := beside(read(t, "testdata/good/everything.yaml"))
	for _, name := range []string{".", manifestName, "app", "exploit.js", "lock/target/package-lock.json"} {
		if _, err := Load(failing{good, []string{name}}, "here"); !errors.Is(err, errDisk) || crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := index(failing{good, []string{"."}}, "library"); !errors.Is(err, errDisk) {
		t.Error(err)
	}
	s := load(t, good)
	s.Files = failing{good, []string{"exploit.js", "lock"}}
	if err := s.Materialise(t.TempDir()); !errors.Is(err, errDisk) {
		t.Error(err)
	}
}

func TestSizesAndDurations(t *testing.T) {
	for want, bytes := range map[string]int64{"1GiB": 1 << 30, "1536MiB": 3 << 29, "3KiB": 3 << 10, "1025": 1025, "0": 0} {
		if got := Size(bytes); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for want, d := range map[string]time.Duration{"30m": 30 * time.Minute, "2h": 2 * time.Hour, "1h30m": 90 * time.Minute, "10s": 10 * time.Second, "1m30s": 90 * time.Second, "100ms": 100 * time.Millisecond, "2h0m5s": 2*time.Hour + 5*time.Second} {
		if got := short(d); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
