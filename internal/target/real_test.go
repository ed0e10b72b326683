package target_test

import (
	"context"
	"os"
	"path/filepath"
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
