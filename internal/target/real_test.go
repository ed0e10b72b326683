package target_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"crisol/internal/target"
)

// These tests prepare one small package of each ecosystem from its real registry: the fakes of the others are only as
// good as our knowledge of the registries.

func TestRealNpm(t *testing.T) {
	tree, _ := lockAndPrepare(t, t.TempDir(), target.Options{}, target.Spec{Package: "pkg:npm/%40tootallnate/once@2.0.0"})
	has(t, tree.Dir, "node_modules/@tootallnate/once/package.json")
}

func TestRealPypi(t *testing.T) {
	tree, _ := lockAndPrepare(t, t.TempDir(), target.Options{Python: python}, target.Spec{Package: "pkg:pypi/idna@3.4"})
	has(t, tree.Dir, "site-packages/idna/__init__.py")
}

func TestRealGolang(t *testing.T) {
	tree, _ := lockAndPrepare(t, goDir, target.Options{}, target.Spec{Package: "pkg:golang/gopkg.in/yaml.v2@v2.2.2"})
	has(t, tree.Dir, "target/yaml.go", ".cache/gomod/gopkg.in")
}

func TestRealCargo(t *testing.T) {
	t.Setenv("RUSTUP_HOME", rustupHome())
	tree, _ := lockAndPrepare(t, t.TempDir(), target.Options{}, target.Spec{Package: "pkg:cargo/smallvec@1.6.0"})
	has(t, tree.Dir, "crate/src/lib.rs")
}

func TestRealMaven(t *testing.T) {
	dir := t.TempDir()
	mavenCache(t, dir)
	realMaven(t, dir)
}

var mavenOnce sync.Once

// realMaven prepares a package by the real registry, which brings the plugins that the tests with a fake one need too.
func realMaven(t *testing.T, dir string) {
	t.Helper()
	mavenOnce.Do(func() {
		tree, _ := lockAndPrepare(t, dir, target.Options{}, target.Spec{Package: "pkg:maven/org.apiguardian/apiguardian-api@1.1.0"})
		has(t, tree.Dir, "lib/target.jar", "target/org/apiguardian/api/API.java", "classes")
	})
}

// mavenCache keeps Maven's own plugins from one test run to the next, beside what else make test downloads.
func mavenCache(t *testing.T, dir string) {
	t.Helper()
	cache, err := filepath.Abs("../../.cache/maven")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{cache, filepath.Join(dir, "clients")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(cache, filepath.Join(dir, "clients", "maven")); err != nil {
		t.Fatal(err)
	}
}
