package corpus

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"crisol"
	"crisol/internal/corpus/mutate"
	"crisol/internal/diff"
	"crisol/internal/scenario"
	"crisol/internal/syntax"
	"crisol/internal/target"
)

// Targets prepares trees and lists versions (target.Store).
type Targets interface {
	Prepare(ctx context.Context, spec target.Spec) (target.Tree, error)
	Release(t target.Tree)
	Versions(ctx context.Context, ecosystem, name string) ([]string, error)
}

// subject is a scenario with what candidates are made from.
type subject struct {
	*scenario.Scenario
	targets Targets
	tree    target.Tree
	root    string // the target's own tree, on the host
	// pkg is the package's name without its version, or the scenario's id for a directory.
	pkg     string
	version string
	base    sources         // the target's source files
	loads   map[string]bool // those of them that are known to be loaded; nil where nothing is known
	// fix holds the touched files as the official fix leaves them, reduced to code; empty where it changes no source.
	fix sources
	// reduced holds the touched files after the smallest known part of the fix that came out fixed, or after the first
	// other candidate that did where the fix itself doesn't (it may need a newer dependency). It is fix until one is
	// proven.
	reduced sources
	proven  bool
}

// open prepares a scenario. The caller releases it.
func open(ctx context.Context, targets Targets, s *scenario.Scenario) (*subject, error) {
	spec, err := s.Spec()
	if err != nil {
		return nil, err
	}
	x := &subject{Scenario: s, targets: targets, pkg: s.ID}
	if s.Target.Package != "" {
		p, err := target.ParsePackage(s.Target.Package)
		if err != nil {
			return nil, err
		}
		x.pkg, x.version = p.Name, p.Version
	}
	if x.tree, err = targets.Prepare(ctx, spec); err != nil {
		return nil, err
	}
	if err := x.read(ctx); err != nil {
		x.release()
		return nil, err
	}
	return x, nil
}

func (x *subject) release() { x.targets.Release(x.tree) }

func (x *subject) read(ctx context.Context) (err error) {
	x.root = filepath.Join(x.tree.Dir, filepath.FromSlash(x.tree.Root))
	if x.base, err = readSources(x.root, x.tree.Ecosystem, x.pkg); err != nil {
		return err
	}
	if x.tree.Ecosystem == "npm" {
		manifest, _, err := source(x.root, "package.json")
		if err != nil {
			return crisol.Errorf(crisol.KindInfrastructure, "read package.json: %w", err)
		}
		x.loads = loaded(x.base, []byte(manifest), x.pkg, x.scripts())
	}
	fixed, err := x.state(ctx, x.Target.Reference, "reference")
	if err != nil {
		return err
	}
	x.fix = x.essential(fixed)
	x.reduced = x.fix
	return nil
}

// scripts are the texts of the scenario's own programs.
func (x *subject) scripts() (texts []string) {
	_ = fs.WalkDir(x.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if syntax.Detect(name, nil) == syntax.JavaScript || path.Ext(name) == ".yaml" {
			if text, err := fs.ReadFile(x.Files, name); err == nil {
				texts = append(texts, string(text))
			}
		}
		return nil
	})
	return texts
}

// state returns the source files that another state of the target has.
func (x *subject) state(ctx context.Context, f scenario.Fix, side string) (sources, error) {
	switch {
	case f.Package != "":
		return x.other(ctx, target.Spec{Package: f.Package, With: x.Target.With, Lock: x.LockFS(side)})
	case f.Patch != "":
		text, err := fs.ReadFile(x.Files, f.Patch)
		if err != nil {
			return nil, crisol.Errorf(crisol.KindInput, "read %s: %w", f.Patch, err)
		}
		patch, err := diff.Parse(text, diff.Limits{})
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", f.Patch, err)
		}
		return x.patched(patch)
	case f.Dir != "":
		return readFS(x.Files, f.Dir)
	}
	return sources{}, nil // no fix is known
}

// other reads another version of the package.
func (x *subject) other(ctx context.Context, spec target.Spec) (sources, error) {
	tree, err := x.targets.Prepare(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer x.targets.Release(tree)
	return readSources(filepath.Join(tree.Dir, filepath.FromSlash(tree.Root)), tree.Ecosystem, x.pkg)
}

// patched applies a patch to the vulnerable tree and returns all source files.
func (x *subject) patched(patch *diff.Patch) (sources, error) {
	root, err := os.OpenRoot(x.root)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "open the target's tree: %w", err)
	}
	defer func() { _ = root.Close() }()
	changes, err := patch.Apply(root)
	if err != nil {
		return nil, err
	}
	after := maps.Clone(x.base)
	for _, change := range changes.Files {
		if !change.Deleted && isSource(change.Path, change.Content) {
			after[change.Path] = string(change.Content)
		}
	}
	return after, nil
}

func readFS(files fs.FS, dir string) (sources, error) {
	tree := sources{}
	sub, err := fs.Sub(files, dir)
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(sub, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !mayBeSource(name) {
			return err
		}
		text, err := fs.ReadFile(sub, name)
		if isSource(name, text) {
			tree[name] = string(text)
		}
		return err
	})
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "read %s: %w", dir, err)
	}
	return tree, nil
}

// essential reduces another state to what it changes of the code that is loaded: files that are known not to be loaded,
// and changes of comments and blanks, are left out. Where nothing that is loaded changes, all source files count.
func (x *subject) essential(state sources) sources {
	if only := x.changed(state, x.loads); len(only) > 0 || x.loads == nil {
		return only
	}
	return x.changed(state, nil)
}

// changed returns the files of a state whose code differs, without what else differs in them. A file that is new counts
// where only says nothing or a changed file names it.
func (x *subject) changed(state sources, only map[string]bool) sources {
	out := sources{}
	for name, after := range state {
		before, had := x.base[name]
		switch {
		case had && only != nil && !only[name]:
		case had:
			if after = codeOnly(name, before, after); after != before {
				out[name] = after
			}
		case only == nil:
			out[name] = after
		}
	}
	if only == nil {
		return out
	}
	for grown := true; grown; { // files that the fix adds, so far as what it changes requires them
		grown = false
		for _, name := range slices.Sorted(maps.Keys(out)) {
			for _, m := range required.FindAllStringSubmatch(out[name], -1) {
				added, ok := resolveModule(state, path.Join(path.Dir(name), m[1]))
				if _, had := x.base[added]; !ok || had || out[added] != "" || !strings.HasPrefix(m[1], ".") {
					continue
				}
				out[added], grown = state[added], true
			}
		}
	}
	return out
}

// versionNumber matches one in a string: a line that differs in nothing else says which release it is.
var versionNumber = regexp.MustCompile(`(['"])v?\d+\.\d+(\.\d+)*([-.]?[a-z]+\.?\d*)?(['"])`)

// codeOnly returns after, with those of its changes undone that touch comments, blanks and version numbers only.
func codeOnly(name, before, after string) string {
	was, is := mutate.Code(name, before), mutate.Code(name, after)
	edits := editsBetween(sources{name: before}, sources{name: after})
	return applyTo(before, slices.DeleteFunc(edits, func(e edit) bool {
		return slices.Equal(codeLines(was, e.at, e.removed), codeLines(is, e.newAt, len(e.added)))
	}))
}

// codeLines are those of n lines that hold code.
func codeLines(lines []string, at, n int) []string {
	at = min(at, len(lines))
	code := slices.DeleteFunc(slices.Clone(lines[at:min(at+n, len(lines))]), func(line string) bool { return strings.TrimSpace(line) == "" })
	for i := range code {
		code[i] = versionNumber.ReplaceAllString(code[i], "0.0")
	}
	return code
}

// id is that of the candidate that a state of the touched files makes.
func (x *subject) id(after sources) string {
	return identify(x.Digest, proposal{after: after}.patch(x).Digest())
}

// adopt takes a state that came out fixed for what others are made from, if there is none yet.
func (x *subject) adopt(after sources) {
	if !x.proven {
		x.reduced, x.proven = after, true
	}
}

// spoken is what the scenario says of the vulnerability.
func (x *subject) spoken() string { return x.Title }
