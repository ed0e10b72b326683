package target_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"crisol"
	"crisol/internal/resilience"
	"crisol/internal/target"
)

// goDir is the cache of all tests with Go modules, for the layer under them takes long to compile.
var goDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "crisol-target-")
	must(err)
	goDir = dir
	code := m.Run()
	must(os.RemoveAll(dir))
	os.Exit(code)
}

func open(t *testing.T, dir string, o target.Options) *target.Store {
	t.Helper()
	if o.Progress == nil {
		o.Progress = func(s string) { t.Log(s) }
	}
	if o.GoPackages == nil {
		o.GoPackages = []string{"errors"}
	}
	s, err := target.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// python is the interpreter that the tests' stores take wheels for.
const python = "/usr/bin/python3"

// goOnly is a PATH with a go command that can be found, for its version is part of a key, and does not run.
func goOnly(t *testing.T) string {
	t.Helper()
	real, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	if real, err = filepath.EvalSymlinks(real); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	version, err := os.ReadFile(filepath.Join(filepath.Dir(real), "..", "VERSION"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "VERSION"), string(version))
	write(t, filepath.Join(root, "bin", "go"), "#!/bin/sh\nexit 1\n")
	if err := os.Chmod(filepath.Join(root, "bin", "go"), 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "bin")
}

func context1(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func asFS(lock map[string][]byte) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range lock {
		fsys[name] = &fstest.MapFile{Data: text}
	}
	return fsys
}

// lockAndPrepare locks spec, prepares it by its lock, and prepares it again where no client can be started. It expects
// that the lock names no address of the registry, and one digest.
func lockAndPrepare(t *testing.T, dir string, o target.Options, spec target.Spec) (target.Tree, map[string][]byte) {
	t.Helper()
	ctx := context1(t)
	s := open(t, dir, o)
	if s.Cached(spec) {
		t.Error("cached before it was prepared")
	}
	lock, err := s.Lock(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range lock {
		if strings.Contains(string(text), "http:") || strings.Contains(string(text), "127.0.0.1") {
			t.Errorf("%s names an address:\n%s", name, text)
		}
	}
	spec.Lock = asFS(lock)
	tree, err := s.Prepare(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	again, err := withoutClients(t, dir, spec)
	if err != nil || again.Digest != tree.Digest || again.Dir != tree.Dir || !slices.Equal(again.Extra, tree.Extra) {
		t.Errorf("from the cache: %v\n%+v\n%+v", err, again, tree)
	}
	checkModes(t, tree)
	return tree, lock
}

// withoutClients prepares spec where no client can be started.
func withoutClients(t *testing.T, dir string, spec target.Spec) (target.Tree, error) {
	t.Helper()
	must(os.Setenv("PATH", goOnly(t)))
	defer func() { must(os.Setenv("PATH", realPath)) }()
	return open(t, dir, target.Options{Python: python}).Prepare(context1(t), spec)
}

// checkModes expects plain modes.
func checkModes(t *testing.T, tree target.Tree) {
	t.Helper()
	err := filepath.WalkDir(tree.Dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if m := info.Mode(); m.IsDir() && m.Perm() != 0o755 || m.IsRegular() && m.Perm() != 0o755 && m.Perm() != 0o644 {
			t.Errorf("%s has mode %s", name, m)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func has(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func lacks(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
}

// fails expects an error of a kind that says something, with a hint where one is named.
func fails(t *testing.T, err error, kind crisol.Kind, says, hint string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", says)
	}
	if crisol.KindOf(err) != kind || !strings.Contains(err.Error(), says) {
		t.Errorf("got a %s error, want %s that says %q:\n%v", crisol.KindOf(err), kind, says, err)
	}
	if !strings.Contains(crisol.HintOf(err), hint) {
		t.Errorf("hint %q, want %q", crisol.HintOf(err), hint)
	}
}

func TestNpm(t *testing.T) {
	r := newRegistry(t)
	r.npm("left", object{"scripts": object{"install": "touch /tmp/crisol-install-script-ran"}, "bin": "bin.js",
		"dependencies": object{"deep": "^1.0.0"}}, "1.0.0", "1.1.0")
	r.npm("@scope/right", nil, "2.0.0")
	r.npm("deep", nil, "1.0.0", "1.4.0")
	spec := target.Spec{Package: "pkg:npm/left@1.0.0", With: []string{"pkg:npm/%40scope/right@2.0.0"}}
	tree, lock := lockAndPrepare(t, t.TempDir(), target.Options{Env: r.env(t)}, spec)
	if tree.Root != "node_modules/left" || tree.Ecosystem != "npm" {
		t.Errorf("%+v", tree)
	}
	has(t, tree.Dir, "package.json", "package-lock.json", "node_modules/left/index.js", "node_modules/@scope/right", "node_modules/deep",
		"node_modules/.bin/left")
	lacks(t, tree.Dir, "node_modules/.package-lock.json")
	lacks(t, "/tmp", "crisol-install-script-ran")
	if got := lock["package-lock.json"]; !strings.Contains(string(got), "1.4.0") || strings.Contains(string(got), `"resolved"`) {
		t.Errorf("package-lock.json:\n%s", got)
	}

	t.Run("faults", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir, target.Options{Env: r.env(t)})
		ctx := context1(t)
		_, err := s.Prepare(ctx, target.Spec{Package: "pkg:npm/absent@1.0.0"})
		fails(t, err, crisol.KindNotFound, "no such package", "name and the version")
		_, err = s.Prepare(ctx, target.Spec{Package: "pkg:npm/left@9.0.0"})
		fails(t, err, crisol.KindNotFound, "no such version", "name and the version")
		// Another tarball than the lock's: the hash is of the bytes that were there before.
		changed := asFS(lock)
		changed["package-lock.json"] = &fstest.MapFile{Data: []byte(strings.Replace(string(lock["package-lock.json"]), "sha512-", "sha512-AAAA", 1))}
		spec.Lock = changed
		_, err = s.Prepare(ctx, spec)
		fails(t, err, crisol.KindInput, "not the one that the lock names", "scenario lock")
		if left, _ := os.ReadDir(filepath.Join(dir, "trees")); len(left) != 0 {
			t.Errorf("what failed left %v", left)
		}
		if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) != 0 {
			t.Errorf("what failed left %v", left)
		}
		r.npm("fromgit", object{"dependencies": object{"g": "git+https://127.0.0.1:9/x.git"}}, "1.0.0")
		_, err = s.Prepare(ctx, target.Spec{Package: "pkg:npm/fromgit@1.0.0"})
		fails(t, err, crisol.KindInput, "git repository", "")
	})
}

// TestNpmLocks refuses locks that are damaged, of another target, or that lead npm elsewhere than to the registry.
func TestNpmLocks(t *testing.T) {
	const manifest = `{"name":"work","version":"0.0.0","private":true,"dependencies":{"a":"1.0.0"}}`
	for name, c := range map[string]struct{ manifest, lock, says string }{
		"cut":             {manifest[:20], `{}`, "package.json"},
		"other version":   {strings.Replace(manifest, "1.0.0", "1.0.1", 1), `{}`, "pins 1.0.1 of a, not 1.0.0"},
		"other package":   {strings.Replace(manifest, `"a"`, `"b"`, 1), `{}`, "pins nothing of a"},
		"more packages":   {strings.Replace(manifest, `"1.0.0"`, `"1.0.0","b":"file:/etc"`, 1), `{}`, "2 packages where the target has 1"},
		"more keys":       {strings.Replace(manifest, `"private"`, `"workspaces":["/"],"private"`, 1), `{}`, "workspaces"},
		"no lock":         {manifest, `[`, "package-lock.json"},
		"link":            {manifest, `{"packages":{"node_modules/a":{"link":true,"resolved":"../../etc"}}}`, "does not come from the registry"},
		"repository":      {manifest, `{"packages":{"node_modules/a":{"resolved":"git+ssh://x/y"}}}`, "does not come from the registry"},
		"without a hash":  {manifest, `{"packages":{"node_modules/a":{"version":"1.0.0"}}}`, "has no integrity"},
		"nothing of npm":  {`null`, `{}`, "pins nothing of a"},
		"no package-lock": {manifest, "", "read package-lock.json"},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := fstest.MapFS{"package.json": {Data: []byte(c.manifest)}, "package-lock.json": {Data: []byte(c.lock)}}
			if c.lock == "" {
				delete(fsys, "package-lock.json")
			}
			_, err := open(t, t.TempDir(), target.Options{Env: dead}).Prepare(context1(t), target.Spec{Package: "pkg:npm/a@1.0.0", Lock: fsys})
			fails(t, err, crisol.KindInput, c.says, "scenario lock")
		})
	}
}

// dead makes every registry unreachable.
var dead = []string{"npm_config_registry=http://127.0.0.1:9/", "npm_config_fetch_retries=0", "PIP_INDEX_URL=http://127.0.0.1:9/simple",
	"PIP_RETRIES=0", "PIP_FIND_LINKS=", "GOPROXY=http://127.0.0.1:9", "CARGO_NET_RETRY=0"}

func TestPypi(t *testing.T) {
	r := newRegistry(t)
	r.project("hello", map[string][]byte{
		"hello-1.0-py3-none-any.whl": wheel("hello", "1.0", "WORD = 'hello'\n", "deep-down>=1", "never; python_version < '3'"),
		"hello-1.1-py3-none-any.whl": wheel("hello", "1.1", "WORD = 'hello'\n"),
	})
	r.project("deep-down", map[string][]byte{"deep_down-1.5-py3-none-any.whl": wheel("deep_down", "1.5", "")})
	tree, lock := lockAndPrepare(t, t.TempDir(), target.Options{Env: r.env(t), Python: python}, target.Spec{Package: "pkg:pypi/Hello@1.0.0"})
	has(t, tree.Dir, "site-packages/hello.py", "site-packages/deep_down.py")
	if tree.Root != "site-packages" || !slices.Contains(tree.Env, "PYTHONPATH=/work/site-packages") || len(tree.Notes) != 0 {
		t.Errorf("%+v", tree)
	}
	if got := string(lock["requirements.txt"]); strings.Count(got, "\n") != 2 || !strings.HasPrefix(got, "deep-down==1.5 --hash=sha256:") {
		t.Errorf("requirements.txt:\n%s", got)
	}

	t.Run("faults", func(t *testing.T) {
		s := open(t, t.TempDir(), target.Options{Env: r.env(t), Python: python})
		_, err := s.Prepare(context1(t), target.Spec{Package: "pkg:pypi/hello@7.0"})
		fails(t, err, crisol.KindNotFound, "no such version", "without a wheel")
		_, err = s.Prepare(context1(t), target.Spec{Package: "pkg:pypi/absent@7.0"})
		fails(t, err, crisol.KindNotFound, "no such package", "name and the version")
		wrong := "hello==1.0 --hash=sha256:" + strings.Repeat("0", 64) + "\n"
		_, err = s.Prepare(context1(t), target.Spec{Package: "pkg:pypi/hello@1.0", Lock: asFS(map[string][]byte{"requirements.txt": []byte(wrong)})})
		fails(t, err, crisol.KindInput, "not the one that the lock names", "scenario lock")
		for _, text := range []string{"hello==1.1 --hash=sha256:" + strings.Repeat("0", 64), "--index-url=http://127.0.0.1:9\n", "hello==1.0\n", ""} {
			_, err = s.Prepare(context1(t), target.Spec{Package: "pkg:pypi/hello@1.0", Lock: asFS(map[string][]byte{"requirements.txt": []byte(text)})})
			fails(t, err, crisol.KindInput, "lock: requirements.txt", "scenario lock")
		}
		s = open(t, t.TempDir(), target.Options{Python: "/nonexistent/python3"})
		_, err = s.Prepare(context1(t), target.Spec{Package: "pkg:pypi/hello@1.0"})
		fails(t, err, crisol.KindInfrastructure, "start python3", "install python3")
	})
}

// TestPypiSource: a project without a wheel is taken from its source distribution, and none of its code runs.
func TestPypiSource(t *testing.T) {
	r := newRegistry(t)
	marker := filepath.Join(t.TempDir(), "ran")
	setup := "open('" + marker + "', 'w')\nfrom setuptools import setup\nsetup(name='oldie', version='1.0')\n"
	r.project("oldie", map[string][]byte{"oldie-1.0.tar.gz": files{
		"oldie-1.0/setup.py": setup, "oldie-1.0/PKG-INFO": "Metadata-Version: 1.1\nName: oldie\nVersion: 1.0\n",
		"oldie-1.0/pyproject.toml":                      "[build-system]\nrequires=[]\nbuild-backend='evil'\nbackend-path=['.']\n",
		"oldie-1.0/evil.py":                             setup,
		"oldie-1.0/src/oldie/__init__.py":               "import hello\n",
		"oldie-1.0/src/oldie/data.txt":                  "data",
		"oldie-1.0/src/oldie.egg-info/top_level.txt":    "oldie\n",
		"oldie-1.0/src/oldie.egg-info/requires.txt":     "hello<=1\nevil @ http://127.0.0.1:9/evil.tar.gz\n--index-url=http://127.0.0.1:9\n\n[extra]\nabsent\n[:python_version < '3']\nnever\n",
		"oldie-1.0/src/oldie.egg-info/entry_points.txt": "[console_scripts]\noldie = oldie:main\n",
		"oldie-1.0/tests/__init__.py":                   "",
	}.tgz()})
	// Each needs the other; that a wheel needs what has none is settled by the version asked for.
	r.project("hello", map[string][]byte{
		"hello-1.0-py3-none-any.whl": wheel("hello", "1.0", "", "oldie>=1"), "hello-2.0-py3-none-any.whl": wheel("hello", "2.0", ""),
	})
	spec := target.Spec{Package: "pkg:pypi/oldie@1.0"}
	dir := t.TempDir()
	o := target.Options{Env: r.env(t), Python: python}
	tree, lock := lockAndPrepare(t, t.TempDir(), o, spec)
	has(t, tree.Dir, "site-packages/oldie/__init__.py", "site-packages/oldie/data.txt", "site-packages/hello.py",
		"site-packages/oldie-1.0.dist-info/METADATA", "site-packages/oldie-1.0.dist-info/entry_points.txt")
	lacks(t, tree.Dir, "site-packages/tests", "site-packages/setup.py", "site-packages/evil.py")
	lacks(t, filepath.Dir(marker), "ran")
	if len(tree.Notes) != 1 || !strings.Contains(tree.Notes[0], "oldie 1.0 has no wheel") {
		t.Error(tree.Notes)
	}
	if !strings.HasSuffix(string(lock["requirements.txt"]), " # source\n") {
		t.Errorf("requirements.txt:\n%s", lock["requirements.txt"])
	}

	changed := strings.Split(string(lock["requirements.txt"]), "oldie==1.0 --hash=sha256:")[0] + "oldie==1.0 --hash=sha256:" + strings.Repeat("0", 64) + " # source\n"
	spec.Lock = asFS(map[string][]byte{"requirements.txt": []byte(changed)})
	_, err := open(t, dir, o).Prepare(context1(t), spec)
	fails(t, err, crisol.KindInput, "not the one that the lock names", "scenario lock")
	lacks(t, filepath.Dir(marker), "ran")
}

func TestGolang(t *testing.T) {
	r := newRegistry(t)
	r.module("example.com/Top", "v1.2.0", files{"go.mod": "module example.com/Top\n\ngo 1.20\n\nrequire example.com/under v0.1.0\n",
		"top.go":      "package top\n\nimport \"example.com/under\"\n\nfunc Word() string { return under.Word }\n",
		"top_test.go": "package top\n\nimport _ \"example.com/absent\"\n"})
	r.add("/go/example.com/!top/@v/v1.2.0.info", r.files["/go/example.com/Top/@v/v1.2.0.info"])
	r.add("/go/example.com/!top/@v/v1.2.0.mod", r.files["/go/example.com/Top/@v/v1.2.0.mod"])
	r.add("/go/example.com/!top/@v/v1.2.0.zip", r.files["/go/example.com/Top/@v/v1.2.0.zip"])
	r.module("example.com/under", "v0.1.0", files{"go.mod": "module example.com/under\n\ngo 1.20\n", "under.go": "package under\n\nconst Word = \"under\"\n"})
	r.module("example.com/old", "v3.0.0+incompatible", files{"old.go": "package old\n"})
	dir := goDir
	o := target.Options{Env: r.env(t)}
	tree, lock := lockAndPrepare(t, dir, o, target.Spec{Package: "pkg:golang/example.com/Top@v1.2.0", With: []string{"pkg:golang/example.com/old@v3.0.0%2Bincompatible"}})
	has(t, tree.Dir, "go.mod", "go.sum", "target/top.go", "target/go.mod", ".cache/gomod/example.com/under@v0.1.0/under.go")
	lacks(t, tree.Dir, ".cache/gomod/cache/download/example.com/under/@v/v0.1.0.zip", ".cache/gomod/example.com/!top@v1.2.0")
	if tree.Root != "target" || len(tree.Extra) != 1 {
		t.Errorf("%+v", tree)
	}

	work := t.TempDir()
	for _, layer := range append(tree.Extra, tree.Dir) {
		if err := os.CopyFS(work, os.DirFS(layer)); err != nil {
			t.Fatal(err)
		}
	}
	// The view is laid by mounts, which keep times; a copy doesn't, and the go command then has nothing to trim.
	write(t, filepath.Join(work, "trial", "trial.go"), "package trial\n\nconst Word = \"trial\"\n")
	write(t, filepath.Join(work, "exploit", "main.go"), "//go:build ignore\n\npackage main\n\nimport (\n\t\"example.com/Top\"\n\t_ \"example.com/old\"\n\t\"example.com/under\"\n\t\"work/trial\"\n)\n\nfunc main() { println(top.Word(), under.Word, trial.Word) }\n")
	cmd := exec.Command("go", "build", "-v", "-o", "exploit.out", "exploit/main.go")
	cmd.Dir = work
	cmd.Env = []string{"PATH=" + realPath, "HOME=" + t.TempDir()}
	for _, kv := range tree.Env {
		cmd.Env = append(cmd.Env, strings.ReplaceAll(kv, "/work", work))
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "runtime") {
		t.Errorf("the layer's packages were compiled again:\n%s", out)
	}
	out, err = exec.Command(filepath.Join(work, "exploit.out")).CombinedOutput()
	if err != nil || string(out) != "under under trial\n" {
		t.Errorf("%v %q", err, out)
	}

	s := open(t, dir, o)
	ctx := context1(t)
	t.Run("the layer is evicted, or go is gone", func(t *testing.T) {
		locked := target.Spec{Package: "pkg:golang/example.com/Top@v1.2.0", With: []string{"pkg:golang/example.com/old@v3.0.0%2Bincompatible"}, Lock: asFS(lock)}
		if !s.Cached(locked) {
			t.Error("not cached")
		}
		if other := open(t, dir, target.Options{GoPackages: []string{"internal/goos"}}); other.Cached(locked) {
			t.Error("cached without its layer")
		}
		t.Setenv("PATH", t.TempDir())
		if s.Cached(locked) {
			t.Error("cached without go")
		}
		_, err := s.Prepare(ctx, locked)
		fails(t, err, crisol.KindInfrastructure, "start go", "install golang")
	})
	t.Run("module without go.mod", func(t *testing.T) {
		tree, err := s.Prepare(ctx, target.Spec{Package: "pkg:golang/example.com/old@v3.0.0%2Bincompatible"})
		if err != nil {
			t.Fatal(err)
		}
		has(t, tree.Dir, "target/go.mod", "target/old.go")
	})
	t.Run("faults", func(t *testing.T) {
		_, err := s.Prepare(ctx, target.Spec{Package: "pkg:golang/example.com/absent@v1.0.0"})
		fails(t, err, crisol.KindNotFound, "no such module", "name and the version")
		top := target.Spec{Package: "pkg:golang/example.com/Top@v1.2.0"}
		for says, change := range map[string]func(map[string]string){
			"not the one that the lock names": func(l map[string]string) { l["go.sum"] = strings.ReplaceAll(l["go.sum"], "h1:", "h1:AAAA") },
			"go.sum":                          func(l map[string]string) { l["go.sum"] = "" },
			"replaces a module":               func(l map[string]string) { l["go.mod"] += "\nreplace example.com/Top => /etc\n" },
			"go.mod:":                         func(l map[string]string) { l["go.mod"] = "modul\n" },
			"pins nothing of example.com/Top": func(l map[string]string) { l["go.mod"] = "module work\n" },
			"malformed go.sum":                func(l map[string]string) { l["go.sum"] = "x\n" },
		} {
			changed := map[string]string{"go.mod": string(lock["go.mod"]), "go.sum": string(lock["go.sum"])}
			change(changed)
			top.Lock = asFS(map[string][]byte{"go.mod": []byte(changed["go.mod"]), "go.sum": []byte(changed["go.sum"])})
			_, err := s.Prepare(ctx, top)
			fails(t, err, crisol.KindInput, says, "scenario lock")
		}
	})
}

// realPath is PATH before any test changed it.
var realPath = os.Getenv("PATH")

func TestCargo(t *testing.T) {
	r := newRegistry(t)
	t.Setenv("RUSTUP_HOME", rustupHome())
	t.Setenv("CARGO_HOME", r.cargoHome(t))
	manifest := func(name, more string) string {
		return "[package]\nname = \"" + name + "\"\nversion = \"1.0.0\"\nedition = \"2018\"\nbuild = false\n" + more
	}
	r.crate("deepcrate", "1.0.0", manifest("deepcrate", ""), "pub const WORD: &str = \"deep\";\n")
	r.crate("topcrate", "1.0.0", manifest("topcrate", "[dependencies]\ndeepcrate = \"1\"\n"), "pub use deepcrate::WORD;\n",
		object{"name": "deepcrate", "req": "^1", "features": []string{}, "optional": false, "default_features": true, "target": nil, "kind": "normal"})
	dir := t.TempDir()
	o := target.Options{Env: r.env(t)}
	tree, lock := lockAndPrepare(t, dir, o, target.Spec{Package: "pkg:cargo/topcrate@1.0.0"})
	has(t, tree.Dir, "crate/src/lib.rs", "vendor/deepcrate-1.0.0/src/lib.rs", "Cargo.toml", "Cargo.lock", ".cargo/config.toml", "src/lib.rs")
	lacks(t, tree.Dir, "vendor/topcrate-1.0.0", "crate/.cargo-checksum.json")
	if tree.Root != "crate" {
		t.Errorf("%+v", tree)
	}
	// It builds without a registry, and from the tree's own crate. Only checked: linking needs more than this test.
	work := filepath.Join(t.TempDir(), "work")
	if err := os.CopyFS(work, os.DirFS(tree.Dir)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(work, "crate", "src", "lib.rs"), "pub const WORD: &str = \"patched\";\npub const NEW: u8 = 1;\n")
	write(t, filepath.Join(work, "src", "bin", "exploit.rs"), "fn main() { println!(\"{}\", topcrate::NEW); }\n")
	cmd := exec.Command("cargo", "check", "--quiet", "--bin", "exploit")
	cmd.Dir = work
	cmd.Env = []string{"PATH=" + realPath, "HOME=" + t.TempDir(), "RUSTUP_HOME=" + rustupHome()}
	for _, kv := range tree.Env {
		cmd.Env = append(cmd.Env, strings.ReplaceAll(strings.ReplaceAll(kv, "/work", work), "/tmp/cargo", t.TempDir()))
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("cargo check: %v\n%s", err, out)
	}

	s := open(t, dir, o)
	ctx := context1(t)
	_, err := s.Prepare(ctx, target.Spec{Package: "pkg:cargo/topcrate@9.0.0"})
	fails(t, err, crisol.KindNotFound, "no such version", "name and the version")
	_, err = s.Prepare(ctx, target.Spec{Package: "pkg:cargo/nocrate@9.0.0"})
	fails(t, err, crisol.KindNotFound, "no such crate", "name and the version")
	for says, change := range map[string]func(map[string][]byte){
		"Cargo.toml is not the one": func(l map[string][]byte) { l["Cargo.toml"] = append(l["Cargo.toml"], "\n[build-dependencies]\n"...) },
		"not the one that the lock": func(l map[string][]byte) {
			l["Cargo.lock"] = []byte(strings.ReplaceAll(string(l["Cargo.lock"]), "checksum = \"", "checksum = \"0000"))
		},
		"damaged": func(l map[string][]byte) { l["Cargo.lock"] = []byte("version = [") },
	} {
		changed := map[string][]byte{"Cargo.toml": slices.Clone(lock["Cargo.toml"]), "Cargo.lock": slices.Clone(lock["Cargo.lock"])}
		change(changed)
		_, err := s.Prepare(ctx, target.Spec{Package: "pkg:cargo/topcrate@1.0.0", Lock: asFS(changed)})
		fails(t, err, crisol.KindInput, says, "scenario lock")
	}
}

func TestMaven(t *testing.T) {
	r := newRegistry(t)
	dir := t.TempDir()
	mavenCache(t, dir)
	realMaven(t, dir) // for the plugins
	needs := func(group, name, version, scope string) string {
		return "<dependencies><dependency><groupId>" + group + "</groupId><artifactId>" + name + "</artifactId><version>" + version +
			"</version><scope>" + scope + "</scope></dependency></dependencies>"
	}
	// Names of this run: Maven remembers in its repository what it has seen.
	group := fmt.Sprintf("crisol.test%d", time.Now().UnixNano())
	r.jar(group, "top", "1.0", needs(group, "deep", "2.0", "compile"), files{"T.class": "bytes"}, files{"a/T.java": "class T {}\n"})
	r.jar(group, "deep", "2.0", needs(group, "never", "1.0", "test"), files{"D.class": "bytes"}, nil)
	r.jar(group, "bare", "1.0", "", files{"B.class": "bytes"}, nil)
	o := target.Options{Env: r.env(t)}
	spec := target.Spec{Package: "pkg:maven/" + group + "/top@1.0", With: []string{"pkg:maven/" + group + "/bare@1.0"}}
	tree, lock := lockAndPrepare(t, dir, o, spec)
	has(t, tree.Dir, "target/a/T.java", "lib/target.jar", "lib/"+group+"_deep_2.0.jar", "lib/"+group+"_bare_1.0.jar", "classes")
	if tree.Root != "target" || !slices.Contains(tree.Env, "CLASSPATH=/work/classes:/work/lib/*") {
		t.Errorf("%+v", tree)
	}

	s := open(t, dir, o)
	_, err := s.Prepare(context1(t), target.Spec{Package: "pkg:maven/" + group + "/bare@1.0"})
	fails(t, err, crisol.KindNotFound, "sources", "only a release whose sources")
	text := string(lock["artifacts.sha256"])
	for says, changed := range map[string]string{
		"not the one that the lock names": strings.Repeat("0", 64) + text[64:],
		"pins nothing of " + group:        "",
		"not SHA256":                      "x\n",
	} {
		spec.Lock = asFS(map[string][]byte{"artifacts.sha256": []byte(changed)})
		_, err = s.Prepare(context1(t), spec)
		fails(t, err, crisol.KindInput, says, "scenario lock")
	}
}

func rustupHome() string {
	if home := os.Getenv("RUSTUP_HOME"); home != "" {
		return home
	}
	return filepath.Join(os.Getenv("HOME"), ".rustup")
}

func TestDir(t *testing.T) {
	embedded := fstest.MapFS{"app.js": {Data: []byte("1")}, "run.sh": {Data: []byte("#!/bin/sh\n")}, "empty": {}, "sub/x": {Data: []byte("2")}}
	dir := t.TempDir()
	s := open(t, dir, target.Options{})
	tree, err := s.Prepare(context1(t), target.Spec{Dir: embedded, DirName: "app"})
	if err != nil {
		t.Fatal(err)
	}
	if tree.Root != "app" || tree.Ecosystem != "dir" || len(tree.Extra) != 0 {
		t.Errorf("%+v", tree)
	}
	has(t, tree.Dir, "app/app.js", "app/sub/x")
	if info, err := os.Stat(filepath.Join(tree.Dir, "app", "run.sh")); err != nil || info.Mode().Perm() != 0o755 {
		t.Error(info.Mode(), err)
	}

	// The same files in a folder, with other modes, give the same tree.
	folder := t.TempDir()
	if err := os.CopyFS(folder, embedded); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(folder, "app.js"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := open(t, dir, target.Options{}).Prepare(context1(t), target.Spec{Dir: os.DirFS(folder), DirName: "app"})
	if err != nil || again.Digest != tree.Digest || again.Dir != tree.Dir {
		t.Errorf("%v\n%+v\n%+v", err, again, tree)
	}
	// Another content, another name: other trees.
	write(t, filepath.Join(folder, "app.js"), "2")
	other, err := s.Prepare(context1(t), target.Spec{Dir: os.DirFS(folder), DirName: "app"})
	if err != nil || other.Digest == tree.Digest || other.Dir == tree.Dir {
		t.Errorf("%v %+v", err, other)
	}
	named, err := s.Prepare(context1(t), target.Spec{Dir: embedded, DirName: "web"})
	if err != nil || named.Digest == tree.Digest {
		t.Errorf("%v %+v", err, named)
	}
	if _, err := s.Lock(context1(t), target.Spec{Dir: embedded, DirName: "app"}); err == nil {
		t.Error("a directory was locked")
	}
}

func TestDirLinks(t *testing.T) {
	for name, c := range map[string]struct {
		make func(dir string) error
		says string // "" is accepted
	}{
		"inside":          {func(d string) error { return os.Symlink("real", filepath.Join(d, "link")) }, ""},
		"dangling inside": {func(d string) error { return os.Symlink("sub/none", filepath.Join(d, "link")) }, ""},
		"absolute":        {func(d string) error { return os.Symlink("/etc/passwd", filepath.Join(d, "link")) }, "leaves the tree"},
		"out":             {func(d string) error { return os.Symlink("../../../x", filepath.Join(d, "link")) }, "leaves the tree"},
		"out through a link": {func(d string) error {
			return errors.Join(os.Symlink(".", filepath.Join(d, "here")), os.Symlink("here/../../record.json", filepath.Join(d, "link")))
		}, "leaves the tree"},
		"pipe": {func(d string) error { return syscall.Mkfifo(filepath.Join(d, "pipe"), 0o644) }, "neither a file"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, filepath.Join(folder, "real"), "x")
			if err := c.make(folder); err != nil {
				t.Fatal(err)
			}
			tree, err := open(t, t.TempDir(), target.Options{}).Prepare(context1(t), target.Spec{Dir: os.DirFS(folder), DirName: "app"})
			if c.says != "" {
				fails(t, err, crisol.KindInput, c.says, "")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if to, err := os.Readlink(filepath.Join(tree.Dir, "app", "link")); err != nil {
				t.Error(to, err)
			}
		})
	}
}

func TestBadSpecs(t *testing.T) {
	app := fstest.MapFS{"a": {}}
	s := open(t, t.TempDir(), target.Options{})
	for says, spec := range map[string]target.Spec{
		"neither a package nor a directory": {},
		"both a package":                    {Package: "pkg:npm/a@1.0.0", Dir: app, DirName: "app"},
		"no further packages":               {Dir: app, DirName: "app", With: []string{"pkg:npm/a@1.0.0"}},
		"not a plain relative path":         {Dir: app, DirName: "../app"},
		"not of the ecosystem":              {Package: "pkg:npm/a@1.0.0", With: []string{"pkg:pypi/a@1.0"}},
		"named twice":                       {Package: "pkg:npm/a@1.0.0", With: []string{"pkg:npm/a@1.0.1"}},
		"the version is missing":            {Package: "pkg:npm/a"},
		"version is missing":                {Package: "pkg:npm/b@1.0.0", With: []string{"pkg:npm/a"}},
		"no such file":                      {Dir: os.DirFS("/nonexistent"), DirName: "app"},
	} {
		if s.Cached(spec) {
			t.Errorf("%q: cached", says)
		}
		_, err := s.Prepare(context1(t), spec)
		fails(t, err, crisol.KindInput, says, "")
		if _, err := s.Lock(context1(t), spec); err == nil {
			t.Errorf("%q: locked", says)
		}
	}
}

// TestMissingClients: a machine without a client says what to install.
func TestMissingClients(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	s := open(t, t.TempDir(), target.Options{Python: python})
	for purl, program := range map[string]string{"pkg:npm/a@1.0.0": "npm", "pkg:golang/example.com/a@v1.0.0": "go",
		"pkg:maven/g/a@1.0": "mvn", "pkg:cargo/abcd@1.0.0": "cargo"} {
		_, err := s.Prepare(context1(t), target.Spec{Package: purl})
		fails(t, err, crisol.KindInfrastructure, "start "+program, "install")
	}
}

// broken prepares one package of every ecosystem by a registry that doesn't work.
func broken(t *testing.T, r *registry, o target.Options, says string) {
	t.Helper()
	t.Setenv("RUSTUP_HOME", rustupHome())
	t.Setenv("CARGO_HOME", r.cargoHome(t))
	o.Env, o.Python = r.env(t), python
	s := open(t, t.TempDir(), o)
	var group sync.WaitGroup
	for _, purl := range []string{"pkg:npm/a@1.0.0", "pkg:pypi/hello@1.0", "pkg:golang/example.com/a@v1.0.0", "pkg:maven/g/a@1.0", "pkg:cargo/abcd@1.0.0"} {
		group.Go(func() {
			if _, err := s.Prepare(context1(t), target.Spec{Package: purl}); err != nil {
				fails(t, err, crisol.KindInfrastructure, says, "registry can't be reached")
			} else {
				t.Errorf("%s: prepared", purl)
			}
		})
	}
	group.Wait()
}

func TestRegistryOutOfOrder(t *testing.T) {
	r := newRegistry(t)
	r.status = 500
	broken(t, r, target.Options{}, "exit status")
}

func TestRegistryHangs(t *testing.T) {
	r := newRegistry(t)
	r.hang = true
	broken(t, r, target.Options{Timeout: 2 * time.Second}, "no answer in time")
}

// TestRegistryRests: a registry that is down again and again is left alone, others are not, and it is asked anew when its
// rest is over.
func TestRegistryRests(t *testing.T) {
	r := newRegistry(t)
	r.status = 500
	panel := resilience.NewPanel(nil)
	registries := panel.Group(resilience.Config{Name: "registry", Failures: 2, Rest: 500 * time.Millisecond,
		Faulty: func(err error) bool { return crisol.KindOf(err) == crisol.KindInfrastructure }}, 9)
	s := open(t, t.TempDir(), target.Options{Env: append(r.env(t), "npm_config_fetch_retries=0"), Python: python, Registries: registries})
	prepare := func() error {
		_, err := s.Prepare(t.Context(), target.Spec{Package: "pkg:npm/a@1.0.0"})
		return err
	}
	for range 2 {
		if err := prepare(); crisol.KindOf(err) != crisol.KindInfrastructure || errors.Is(err, resilience.ErrOpen) {
			t.Fatal(err)
		}
	}
	if err := prepare(); crisol.KindOf(err) != crisol.KindInfrastructure || !errors.Is(err, resilience.ErrOpen) {
		t.Errorf("it is not left alone: %v", err)
	}
	if states := panel.States(); len(states) != 1 || states[0].Name != "registry/npm" || states[0].State != resilience.Open {
		t.Errorf("%+v", states)
	}
	r.status = 0
	time.Sleep(500 * time.Millisecond)
	if err := prepare(); crisol.KindOf(err) != crisol.KindNotFound {
		t.Errorf("want that it says that there is no such package: %v", err)
	}
	if state := registries.Guard("npm").State(); state.State != resilience.Closed {
		t.Errorf("%+v", state)
	}
}

// TestCancel: whoever cancels gets the answer at once, and nothing of the client is left to hold the connection.
func TestCancel(t *testing.T) {
	r := newRegistry(t)
	r.hang = true
	s := open(t, t.TempDir(), target.Options{Env: r.env(t), Python: python})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		_, err := s.Prepare(ctx, target.Spec{Package: "pkg:npm/a@1.0.0"})
		answer <- err
	}()
	<-r.reached
	// A second one waits for the first, and can be cancelled too.
	waits, stop := context.WithCancel(context.Background())
	stop()
	_, err := s.Prepare(waits, target.Spec{Package: "pkg:npm/a@1.0.0"})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) || crisol.KindOf(err) != crisol.KindInfrastructure {
		t.Error(err)
	}
	<-r.left
}

// TestTogether: of many who prepare the same thing at once, in two processes, one fetches it and all get it.
func TestTogether(t *testing.T) {
	r := newRegistry(t)
	r.npm("left", nil, "1.0.0")
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestOtherProcess$", "-test.v")
	cmd.Env = append(os.Environ(), append(r.env(t), "CRISOL_TEST_STORE="+dir)...)
	other := make(chan error, 1)
	go func() {
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("%s", out)
		}
		other <- err
	}()
	stores := []*target.Store{open(t, dir, target.Options{Env: r.env(t)}), open(t, dir, target.Options{Env: r.env(t)})}
	var group sync.WaitGroup
	digests := make(chan string, 6)
	for i := range cap(digests) {
		group.Go(func() {
			tree, err := stores[i%2].Prepare(context1(t), target.Spec{Package: "pkg:npm/left@1.0.0"})
			if err != nil {
				t.Error(err)
			}
			digests <- tree.Digest
		})
	}
	group.Wait()
	if err := <-other; err != nil {
		t.Error("the other process:", err)
	}
	close(digests)
	first := <-digests
	for d := range digests {
		if d != first {
			t.Errorf("digests %s and %s", d, first)
		}
	}
	if n := r.count("/npm/left/-/1.0.0.tgz"); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

// TestOtherProcess is the other process of TestTogether.
func TestOtherProcess(t *testing.T) {
	dir := os.Getenv("CRISOL_TEST_STORE")
	if dir == "" {
		t.Skip("not started by TestTogether")
	}
	tree, err := open(t, dir, target.Options{}).Prepare(context1(t), target.Spec{Package: "pkg:npm/left@1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	has(t, tree.Dir, "node_modules/left/index.js")
}

func file(text string) target.Spec {
	return target.Spec{Dir: fstest.MapFS{"file": {Data: []byte(text)}}, DirName: "app"}
}

func prepare(t *testing.T, s *target.Store, spec target.Spec) target.Tree {
	t.Helper()
	tree, err := s.Prepare(context1(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// TestHalfWritten: what a process left that died in the middle is never used, and goes.
func TestHalfWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, target.Options{})
	tree := prepare(t, s, file("x"))
	entry := filepath.Dir(tree.Dir)
	for name, damage := range map[string]func() error{
		"no record":   func() error { return os.Remove(filepath.Join(entry, "record.json")) },
		"half record": func() error { return os.WriteFile(filepath.Join(entry, "record.json"), []byte(`{"Dig`), 0o644) },
		"no tree":     func() error { return os.RemoveAll(tree.Dir) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "tmp", "dead", "tree", "file"), "half")
			write(t, filepath.Join(dir, "tmp", "stray"), "half")
			if s.Cached(file("x")) {
				t.Error("cached")
			}
			again := prepare(t, s, file("x"))
			if again.Digest != tree.Digest {
				t.Errorf("%+v", again)
			}
			has(t, again.Dir, "app/file")
			if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// eachBytes is what a tree of file takes: its directory, app in it, and one file, a block each.
const eachBytes = 3 * 4096

func TestEvict(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_700_000_000, 0)
	clock := func() time.Time { now = now.Add(time.Minute); return now }
	s := open(t, dir, target.Options{MaxBytes: -1, Now: clock})
	a, b, c := prepare(t, s, file("a")), prepare(t, s, file("b")), prepare(t, s, file("c"))
	if gone, err := s.Evict(); gone != 0 || err != nil {
		t.Error("without a limit:", gone, err)
	}
	s.Release(a)
	s.Release(b)
	s.Release(b) // once too often is harmless
	s.Release(c)
	prepare(t, s, file("a")) // used last, and in use

	small := open(t, dir, target.Options{MaxBytes: 2*eachBytes + 100, Now: clock})
	if gone, err := small.Evict(); gone != eachBytes || err != nil {
		t.Error(gone, err)
	}
	lacks(t, b.Dir)
	has(t, a.Dir, "app/file")
	has(t, c.Dir, "app/file")
	// A new one puts out the least recently used that nobody uses.
	d := prepare(t, small, file("d"))
	lacks(t, c.Dir)
	has(t, a.Dir, "app/file")
	has(t, d.Dir, "app/file")
	if u := target.UsageOf(dir); u != (target.Usage{Trees: 2, TreeBytes: 2 * eachBytes, InUse: 2}) {
		t.Errorf("%+v", u)
	}
	// What is in use stays, however small the cache may be.
	tiny := open(t, dir, target.Options{MaxBytes: 1, Now: clock})
	if gone, err := tiny.Evict(); gone != 0 || err != nil {
		t.Error(gone, err)
	}
	if err := errors.Join(s.Close(), small.Close()); err != nil {
		t.Error(err)
	}
	has(t, a.Dir, "app/file") // what others may use is left as long as it is within their bound
	if err := tiny.Close(); err != nil {
		t.Error(err)
	}
	if u := target.UsageOf(dir); u.Trees != 0 || u.TreeBytes != 0 {
		t.Errorf("%+v", u)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestEvictLeavesWhatOthersUse: a tree that another process uses stays, until that process is gone, in whatever way.
func TestEvictLeavesWhatOthersUse(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHolder$", "-test.v")
	cmd.Env = append(os.Environ(), "CRISOL_TEST_HOLD="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe() // it ends with us, should we die
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	held := ""
	for lines := bufio.NewScanner(out); held == "" && lines.Scan(); {
		held, _ = strings.CutPrefix(lines.Text(), "holds ")
		if held == lines.Text() {
			held = ""
		}
	}
	s := open(t, dir, target.Options{MaxBytes: 1})
	if u := target.UsageOf(dir); u.Trees != 1 || u.InUse != 1 {
		t.Errorf("%+v", u)
	}
	mine := prepare(t, s, file("mine")) // and evicts
	if gone, err := s.Evict(); gone != 0 || err != nil {
		t.Error(gone, err)
	}
	has(t, held, "app/file")
	s.Release(mine)
	if gone, err := s.Evict(); gone != eachBytes || err != nil {
		t.Error(gone, err)
	}
	lacks(t, mine.Dir)
	has(t, held, "app/file")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	_ = in.Close()
	if gone, err := s.Evict(); gone != eachBytes || err != nil {
		t.Error(gone, err)
	}
	lacks(t, held)
}

// TestHolder is the other process of TestEvictLeavesWhatOthersUse: it uses a tree until it is killed.
func TestHolder(t *testing.T) {
	dir := os.Getenv("CRISOL_TEST_HOLD")
	if dir == "" {
		t.Skip("not started by TestEvictLeavesWhatOthersUse")
	}
	tree := prepare(t, open(t, dir, target.Options{}), file("theirs"))
	fmt.Printf("holds %s\n", tree.Dir)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestEvictClients: what clients keep is bounded too, and not cleared under a client that runs.
func TestEvictClients(t *testing.T) {
	r := newRegistry(t)
	r.npm("left", nil, "1.0.0", "1.0.1")
	dir := t.TempDir()
	s := open(t, dir, target.Options{Env: r.env(t)})
	tree := prepare(t, s, target.Spec{Package: "pkg:npm/left@1.0.0"})
	if target.UsageOf(dir).ClientBytes == 0 {
		t.Fatal("npm keeps nothing")
	}
	tiny := open(t, dir, target.Options{MaxBytes: 1, Env: r.env(t)})
	running, err := os.Open(filepath.Join(dir, "locks", "clients"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(running.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	before := target.UsageOf(dir).ClientBytes
	if gone, err := tiny.Evict(); gone != 0 || err != nil || target.UsageOf(dir).ClientBytes != before {
		t.Error(gone, err, target.UsageOf(dir))
	}
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}
	if gone, err := tiny.Evict(); gone != before || err != nil || target.UsageOf(dir).ClientBytes != 0 {
		t.Error(gone, before, err, target.UsageOf(dir))
	}
	has(t, tree.Dir, "node_modules/left/index.js")
	prepare(t, tiny, target.Spec{Package: "pkg:npm/left@1.0.1"}) // and goes on from nothing
}

// TestEvictWhilePrepared: processes that prepare, use and evict without a pause never lose a tree that they use.
func TestEvictWhilePrepared(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	for range 4 {
		s := open(t, dir, target.Options{MaxBytes: 1}) // a store of its own stands for a process: locks belong to open files
		group.Go(func() {
			for i := range 40 {
				tree, err := s.Prepare(context1(t), file(strconv.Itoa(i%3)))
				if err != nil {
					t.Error(err)
					return
				}
				has(t, tree.Dir, "app/file")
				if _, err := s.Evict(); err != nil {
					t.Error(err)
				}
				has(t, tree.Dir, "app/file")
				s.Release(tree)
			}
		})
	}
	group.Wait()
}

// disk mounts a small file system of its own.
func disk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skip("this machine doesn't let the test mount a file system:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	r := newRegistry(t)
	r.npm("left", object{"description": strings.Repeat("big ", 1<<19)}, "1.0.0")
	s := open(t, disk(t, "size=1m"), target.Options{Env: r.env(t)})
	_, err := s.Prepare(context1(t), file(strings.Repeat("x", 2<<20)))
	fails(t, err, crisol.KindInfrastructure, "no space left", "free some space")
	_, err = s.Prepare(context1(t), target.Spec{Package: "pkg:npm/left@1.0.0"})
	fails(t, err, crisol.KindInfrastructure, "", "free some space")
	prepare(t, s, file("small"))
}

// TestDiskFillsUp: wherever in a preparation the disk is full, the error says so, nothing half-written is used, and
// nothing is left.
func TestDiskFillsUp(t *testing.T) {
	failed := 0
	for inodes := 2; ; inodes++ {
		dir := disk(t, fmt.Sprintf("size=1m,nr_inodes=%d", inodes))
		s := open(t, dir, target.Options{})
		_, err := s.Prepare(context1(t), file("x"))
		if err == nil {
			break
		}
		failed++
		fails(t, err, crisol.KindInfrastructure, "no space left", "free some space")
		if s.Cached(file("x")) {
			t.Errorf("with %d inodes: cached", inodes)
		}
		for _, where := range []string{"trees", "tmp"} {
			if left, _ := os.ReadDir(filepath.Join(dir, where)); len(left) != 0 {
				t.Errorf("with %d inodes, in %s: %v", inodes, where, left)
			}
		}
	}
	if failed < 10 {
		t.Errorf("only %d places", failed)
	}
}

func TestReadOnlyCache(t *testing.T) {
	dir := disk(t, "size=10m")
	tree := prepare(t, open(t, dir, target.Options{}), file("x"))
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, target.Options{})
	if again := prepare(t, s, file("x")); again.Digest != tree.Digest {
		t.Errorf("%+v", again)
	}
	_, err := s.Prepare(context1(t), file("y"))
	fails(t, err, crisol.KindInfrastructure, "read-only", "--data")
	_, err = s.Lock(context1(t), target.Spec{Package: "pkg:npm/a@1.0.0"})
	fails(t, err, crisol.KindInfrastructure, "read-only", "--data")
	_, err = target.Open(filepath.Join(dir, "new"), target.Options{})
	fails(t, err, crisol.KindInfrastructure, "read-only", "--data")
}

// TestOwn: the finished tree is given to the sandbox's user, and a failure to do so leaves nothing.
func TestOwn(t *testing.T) {
	var given string
	s := open(t, t.TempDir(), target.Options{Own: func(dir string) error { given = dir; return nil }})
	prepare(t, s, file("x"))
	if filepath.Base(given) != "tree" {
		t.Error(given)
	}
	s = open(t, t.TempDir(), target.Options{Own: func(string) error { return fs.ErrPermission }})
	_, err := s.Prepare(context1(t), file("x"))
	fails(t, err, crisol.KindInfrastructure, "sandbox's user", "writable")
	if s.Cached(file("x")) {
		t.Error("cached")
	}
}

// BenchmarkHit is what a trial pays for a prepared target.
func BenchmarkHit(b *testing.B) {
	s, err := target.Open(b.TempDir(), target.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Prepare(context.Background(), file("x")); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		t, err := s.Prepare(context.Background(), file("x"))
		if err != nil {
			b.Fatal(err)
		}
		s.Release(t)
	}
}

// TestVersions asks each client that lists versions; the others say that they don't.
func TestVersions(t *testing.T) {
	r := newRegistry(t)
	r.npm("left", nil, "1.0.0", "1.1.0")
	r.npm("one", nil, "3.0.0")
	for _, version := range []string{"v2.0.0", "v2.1.0"} {
		r.module("example.org/m/v2", version, files{"go.mod": "module example.org/m/v2\n", "m.go": "package m\n"})
	}
	r.add("/go/example.org/m/v2/@v/list", []byte("v2.0.0\nv2.1.0\n"))
	r.add("/simple/thing/", []byte(`<a href="thing-1.0-py3-none-any.whl">a</a><a href="thing-1.10-py3-none-any.whl">b</a>`))
	s := open(t, t.TempDir(), target.Options{Env: r.env(t)})
	for _, c := range []struct {
		ecosystem, name string
		want            []string
	}{
		{"npm", "left", []string{"1.0.0", "1.1.0"}}, {"npm", "one", []string{"3.0.0"}},
		{"golang", "example.org/m/v2", []string{"v2.0.0", "v2.1.0"}}, {"pypi", "thing", []string{"1.10", "1.0"}},
	} {
		if got, err := s.Versions(context1(t), c.ecosystem, c.name); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	for _, c := range []struct {
		ecosystem, name string
		kind            crisol.Kind
	}{
		{"npm", "none", crisol.KindNotFound}, {"pypi", "none", crisol.KindNotFound}, {"golang", "example.org/none", crisol.KindNotFound},
		{"maven", "g:a", crisol.KindInput}, {"npm", "--registry=x", crisol.KindInput}, {"npm", "../x", crisol.KindInput}, {"golang", "x", crisol.KindInput},
	} {
		if got, err := s.Versions(context1(t), c.ecosystem, c.name); crisol.KindOf(err) != c.kind {
			t.Errorf("%s %s: %v, %v", c.ecosystem, c.name, got, err)
		}
	}
}

// TestDamagedAndInUse: a damaged entry that someone still uses stays in its place, and goes once nobody does.
func TestDamagedAndInUse(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, target.Options{})
	tree := prepare(t, first, file("x"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	entry := filepath.Dir(tree.Dir)
	if err := os.WriteFile(filepath.Join(entry, "record.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	user, err := os.Open(entry)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(user.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, target.Options{})
	if _, err := s.Prepare(context1(t), file("x")); crisol.KindOf(err) != crisol.KindInfrastructure || !strings.Contains(err.Error(), "another process uses") {
		t.Error(err)
	}
	has(t, tree.Dir, "app/file")
	if err := user.Close(); err != nil {
		t.Fatal(err)
	}
	again := prepare(t, s, file("x"))
	has(t, again.Dir, "app/file")
	if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
