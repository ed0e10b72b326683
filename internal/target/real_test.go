package target_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"crisol/internal/target"
)

// dead makes every registry unreachable: what still works is in the cache.
var dead = []string{"npm_config_registry=http://127.0.0.1:9/", "PIP_INDEX_URL=http://127.0.0.1:9/simple", "PIP_RETRIES=0",
	"GOPROXY=http://127.0.0.1:9", "CARGO_NET_OFFLINE=true", "MAVEN_ARGS=--offline"}

func open(t *testing.T, dir string, o target.Options) *target.Store {
	t.Helper()
	if o.Progress == nil {
		o.Progress = func(s string) { t.Log(s) }
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

// real prepares purl from the real registry, again by its lock, and again without a registry, and expects one digest.
func real(t *testing.T, spec target.Spec, files ...string) target.Tree {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	s := open(t, dir, target.Options{})
	lock, err := s.Lock(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	locked := spec
	fsys := fstest.MapFS{}
	for name, text := range lock {
		fsys[name] = &fstest.MapFile{Data: text}
	}
	locked.Lock = fsys
	tree, err := s.Prepare(ctx, locked)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join(tree.Dir, f)); err != nil {
			t.Error(err)
		}
	}
	again, err := open(t, dir, target.Options{Env: dead}).Prepare(ctx, locked)
	if err != nil || again.Digest != tree.Digest || again.Dir != tree.Dir {
		t.Errorf("without a registry: %v, %+v", err, again)
	}
	return tree
}

func TestRealNpm(t *testing.T) {
	real(t, target.Spec{Package: "pkg:npm/lodash@4.17.11"}, "node_modules/lodash/package.json", "package.json", "package-lock.json")
}

func TestRealPypi(t *testing.T) {
	tree := real(t, target.Spec{Package: "pkg:pypi/jinja2@3.1.3"}, "site-packages/jinja2/__init__.py", "site-packages/markupsafe/__init__.py")
	if tree.Root != "site-packages" {
		t.Error(tree.Root)
	}
}

func TestRealGolang(t *testing.T) {
	tree := real(t, target.Spec{Package: "pkg:golang/gopkg.in/yaml.v2@v2.2.2"}, "target/yaml.go", "go.mod", "go.sum", ".cache/gomod")
	// A program outside the target builds against it with no network, as it will in the sandbox.
	work := t.TempDir()
	for _, layer := range append(tree.Extra, tree.Dir) {
		if err := os.CopyFS(work, os.DirFS(layer)); err != nil {
			t.Fatal(err)
		}
	}
	goRun(t, tree, work, `package main
import ("fmt"; "gopkg.in/yaml.v2")
func main() { var v map[string]int; fmt.Println(yaml.Unmarshal([]byte("a: 1"), &v), v["a"]) }`, "<nil> 1\n")
}

// goRun builds and runs a program in a copy of the tree.
func goRun(t *testing.T, tree target.Tree, work, program, want string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(work, "exploit"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "exploit", "main.go"), []byte("//go:build ignore\n\n"+program), 0o644); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	cmd := exec.Command("go", "run", "exploit/main.go")
	cmd.Dir = work
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	for _, kv := range tree.Env {
		cmd.Env = append(cmd.Env, strings.ReplaceAll(kv, "/work", work))
	}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != want {
		t.Errorf("go run: %v\n%s", err, out)
	}
	t.Log("go run took", time.Since(start))
}
