package wargame

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/package-url/packageurl-go"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/sandbox"
	"crisol/internal/scenario"
	"crisol/internal/target"
)

// Candidate is what is said to be a fix. Exactly one of Patch, Upgrade, Dir, Tree, Reference and change is set.
type Candidate struct {
	Patch   *diff.Patch
	Upgrade string // another version's purl
	Dir     string // a host directory that replaces the target's tree
	Tree    fs.FS  // the same, in memory
	// Reference is one of the scenario's own fixes, with the lock that lies beside it.
	Reference *scenario.Fix
	LockSide  string

	// change edits the tree directly: decoys and the no-op of the self-test.
	change func(tree target.Tree) (*diff.Changes, error)
}

// patched makes the patched side of a trial in dir and says in words what was done.
func (a *Arena) patched(ctx context.Context, s *scenario.Scenario, vulnerable side, c Candidate, dir string) (side, string, error) {
	other, ok, err := c.other(s)
	switch {
	case err != nil:
		return side{}, "", err
	case ok:
		return a.upgraded(ctx, vulnerable, other)
	}
	changes, words, err := c.changes(s, vulnerable.tree)
	if err != nil {
		return side{}, "", err
	}
	layer := filepath.Join(dir, "patch")
	if err := writeLayer(changes, layer, vulnerable.tree.Root); err != nil {
		return side{}, "", crisol.Errorf(crisol.KindInfrastructure, "write the patched files: %w", err)
	}
	patched := vulnerable
	patched.name, patched.over, patched.leased = crisol.Patched, []string{layer}, false
	return patched, words, nil
}

// Prepared says whether a trial of the scenario would find its target in the cache.
func (a *Arena) Prepared(s *scenario.Scenario) bool {
	want, err := s.Spec()
	return err == nil && a.Targets.Cached(want)
}

// writeLayer writes changes as a new layer, at prefix below dir.
func writeLayer(changes *diff.Changes, dir, prefix string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := changes.WriteLayer(dir, prefix); err != nil {
		return err
	}
	return sandbox.Own(dir)
}

// other is the version that takes the target's place, where the candidate is one.
func (c Candidate) other(s *scenario.Scenario) (spec target.Spec, ok bool, err error) {
	switch {
	case c.Upgrade != "":
		spec = target.Spec{Package: c.Upgrade, With: s.Target.With}
	case c.Reference != nil && c.Reference.Package != "":
		spec = target.Spec{Package: c.Reference.Package, With: s.Target.With, Lock: s.LockFS(c.LockSide)}
	default:
		return spec, false, nil
	}
	return spec, true, samePackage(s.Target.Package, spec.Package)
}

func (a *Arena) upgraded(ctx context.Context, vulnerable side, spec target.Spec) (side, string, error) {
	tree, err := a.Targets.Prepare(ctx, spec)
	if err != nil {
		return side{}, "", fmt.Errorf("prepare %s: %w", spec.Package, err)
	}
	patched := vulnerable
	patched.name, patched.tree, patched.over, patched.leased = crisol.Patched, tree, nil, true
	return patched, "the patch is the version " + spec.Package, nil
}

// samePackage refuses an upgrade to something that isn't the package under trial.
func samePackage(from, to string) error {
	if from == "" {
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "the scenario's target is a directory, so no version of a package can fix it"), "give --patch FILE or --fixed DIR")
	}
	want, err := packageurl.FromString(from)
	if err != nil {
		return crisol.Errorf(crisol.KindInput, "read %s: %w", from, err)
	}
	got, err := packageurl.FromString(to)
	if err != nil {
		return crisol.Errorf(crisol.KindInput, "read %s: %w", to, err)
	}
	if want.Type != got.Type || want.Namespace != got.Namespace || want.Name != got.Name {
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "%s is not a version of the package under trial", to), "the scenario is about %s", from)
	}
	return nil
}

// changes resolves a candidate that edits the vulnerable tree, leaving alone the files that judge it.
func (c Candidate) changes(s *scenario.Scenario, tree target.Tree) (*diff.Changes, string, error) {
	judges := func(name string) bool { return len(s.Tests) > 0 && isTest(name) }
	switch {
	case c.change != nil:
		changes, err := c.change(tree)
		return changes, "", err
	case c.Patch != nil:
		return applyPatch(c.Patch, tree, judges)
	case c.Reference != nil && c.Reference.Patch != "":
		text, err := fs.ReadFile(s.Files, c.Reference.Patch)
		if err != nil {
			return nil, "", crisol.Errorf(crisol.KindInput, "read %s: %w", c.Reference.Patch, err)
		}
		patch, err := diff.Parse(text, diff.Limits{})
		if err != nil {
			return nil, "", fmt.Errorf("parse %s: %w", c.Reference.Patch, err)
		}
		return applyPatch(patch, tree, judges)
	case c.Reference != nil && c.Reference.Dir != "":
		fixed, err := fs.Sub(s.Files, c.Reference.Dir)
		if err != nil {
			return nil, "", crisol.Errorf(crisol.KindInput, "open %s: %w", c.Reference.Dir, err)
		}
		return replaceTree(tree, fixed, judges)
	case c.Dir != "":
		info, err := os.Stat(c.Dir)
		if err != nil || !info.IsDir() {
			return nil, "", crisol.Errorf(crisol.KindInput, "%s is not a directory", c.Dir)
		}
		return replaceTree(tree, os.DirFS(c.Dir), judges)
	case c.Tree != nil:
		return replaceTree(tree, c.Tree, judges)
	}
	return nil, "", crisol.Errorf(crisol.KindInternal, "the candidate is empty")
}

func applyPatch(patch *diff.Patch, tree target.Tree, judges func(string) bool) (*diff.Changes, string, error) {
	root, err := os.OpenRoot(own(tree))
	if err != nil {
		return nil, "", crisol.Errorf(crisol.KindInfrastructure, "open the target's tree: %w", err)
	}
	defer func() { _ = root.Close() }()
	// The paths are judged as they will be written, after a leading directory that the tree doesn't have is dropped.
	fitted, note := patch.Fit(root)
	kept, dropped := fitted.Without(judges)
	changes, err := kept.Apply(root)
	if err != nil {
		return nil, "", fmt.Errorf("apply patch: %w", err)
	}
	if err := startHooks(changes, tree); err != nil {
		return nil, "", err
	}
	if err := keepScripts(changes, root, judges); err != nil {
		return nil, "", err
	}
	words := []string{fmt.Sprintf("%d of %d files changed", len(changes.Files), len(patch.Paths()))}
	if note != "" {
		words = append(words, note)
	}
	words = append(words, changes.Notes...)
	if len(dropped) > 0 {
		words = append(words, "tests are judged as they were: "+strings.Join(dropped, ", "))
	}
	return changes, strings.Join(words, "; "), nil
}

// startHook matches files that Python would run before any program of ours.
var startHook = regexp.MustCompile(`^(sitecustomize|usercustomize)(\.py|\.pyc|/|$)|^[^/]+\.pth$`)

// startHooks refuses a patch that would run before the judge does.
func startHooks(changes *diff.Changes, tree target.Tree) error {
	if tree.Ecosystem != "pypi" {
		return nil
	}
	for _, change := range changes.Files {
		if startHook.MatchString(change.Path) {
			return crisol.Errorf(crisol.KindInput, "the patch touches %s, which the interpreter runs at start: it would run inside the judge", change.Path)
		}
	}
	return nil
}

// isTest says whether a path looks like a test, by the conventions of the ecosystems served.
func isTest(name string) bool {
	base := path.Base(name)
	for _, dir := range strings.Split(path.Dir(name), "/") {
		switch strings.ToLower(dir) {
		case "test", "tests", "__tests__", "spec", "specs", "testdata", "testing", "__mocks__":
			return true
		}
	}
	return testFile.MatchString(base)
}

var testFile = regexp.MustCompile(`(?i)(^test_.*\.py$|_test\.(py|go|js|ts|rb|c|cc|cpp|rs)$|[.-](test|spec)\.[cm]?[jt]sx?$|^tests?\.(py|[cm]?js|ts|sh)$|Tests?\.java$|^conftest\.py$|^pytest\.ini$|^tox\.ini$|^noxfile\.py$|^\.mocharc|^\.taprc$|^(jest|karma|ava|vitest|mocha)\.config\.)`)

// keepScripts puts back what a patched package.json says of running the tests.
func keepScripts(changes *diff.Changes, root *os.Root, judges func(string) bool) error {
	if !judges("test.js") {
		return nil
	}
	for i := range changes.Files {
		change := &changes.Files[i]
		if change.Path != "package.json" || change.Deleted {
			continue
		}
		before, err := root.ReadFile("package.json")
		if err != nil {
			return nil //nolint:nilerr // there was none, so no tests were run by it
		}
		if change.Content, err = withKeysOf(before, change.Content, "scripts", "jest", "mocha", "ava", "nyc", "tap", "standard"); err != nil {
			return crisol.Errorf(crisol.KindInput, "read the patched package.json: %w", err)
		}
	}
	return nil
}

// withKeysOf returns the JSON object after with the named members as they are in before.
func withKeysOf(before, after []byte, names ...string) ([]byte, error) {
	var was, is map[string]json.RawMessage
	if err := json.Unmarshal(before, &was); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(after, &is); err != nil {
		return nil, err
	}
	same := true
	for _, name := range names {
		if bytes.Equal(was[name], is[name]) {
			continue
		}
		same = false
		if value, had := was[name]; had {
			is[name] = value
		} else {
			delete(is, name)
		}
	}
	if same {
		return after, nil
	}
	return json.MarshalIndent(is, "", "  ")
}

// limits of a directory that replaces a tree.
const (
	maxFixedFiles = 50000
	maxFixedFile  = 64 << 20
)

// replaceTree computes the changes that turn the target's tree into another. Symlinks and special files are refused.
func replaceTree(tree target.Tree, fixed fs.FS, judges func(string) bool) (*diff.Changes, string, error) {
	have := os.DirFS(own(tree))
	changes := &diff.Changes{}
	seen := map[string]bool{}
	err := fs.WalkDir(fixed, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return crisol.Errorf(crisol.KindInput, "read the fixed directory: %w", err)
		case d.IsDir() && strings.EqualFold(d.Name(), ".git"):
			return fs.SkipDir
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			return crisol.Errorf(crisol.KindInput, "%s in the fixed directory is neither a file nor a directory", name)
		}
		if seen[name] = true; len(seen) > maxFixedFiles {
			return crisol.Errorf(crisol.KindInput, "the fixed directory holds more than %d files", maxFixedFiles)
		}
		if judges(name) {
			return nil
		}
		return addChange(changes, have, fixed, name, d)
	})
	if err != nil {
		return nil, "", err
	}
	deleted, err := missing(have, seen, judges)
	if err != nil {
		return nil, "", err
	}
	changes.Files = append(changes.Files, deleted...)
	sort.Slice(changes.Files, func(i, j int) bool { return changes.Files[i].Path < changes.Files[j].Path })
	if err := startHooks(changes, tree); err != nil {
		return nil, "", err
	}
	return changes, fmt.Sprintf("the tree is replaced: %d files differ", len(changes.Files)), nil
}

func addChange(changes *diff.Changes, have, fixed fs.FS, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return crisol.Errorf(crisol.KindInput, "read %s: %w", name, err)
	}
	if info.Size() > maxFixedFile {
		return crisol.Errorf(crisol.KindInput, "%s in the fixed directory is larger than %d MiB", name, maxFixedFile>>20)
	}
	content, err := fs.ReadFile(fixed, name)
	if err != nil {
		return crisol.Errorf(crisol.KindInput, "read %s: %w", name, err)
	}
	if old, err := fs.ReadFile(have, name); err == nil && bytes.Equal(old, content) {
		return nil
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	changes.Files = append(changes.Files, diff.Change{Path: name, Mode: mode, Content: content})
	return nil
}

// missing lists the files of the tree that the fixed directory no longer has. What lies under node_modules is not the
// target's own and stays.
func missing(have fs.FS, seen map[string]bool, judges func(string) bool) (deleted []diff.Change, err error) {
	err = fs.WalkDir(have, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return crisol.Errorf(crisol.KindInfrastructure, "read the target's tree: %w", err)
		case d.IsDir() && d.Name() == "node_modules":
			return fs.SkipDir
		case d.IsDir() || seen[name] || judges(name):
			return nil
		}
		deleted = append(deleted, diff.Change{Path: name, Deleted: true})
		return nil
	})
	return deleted, err
}
