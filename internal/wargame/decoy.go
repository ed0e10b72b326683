package wargame

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/package-url/packageurl-go"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/scenario"
	"crisol/internal/target"
)

// gone is what a generated decoy does wherever the target is entered.
const gone = "crisol decoy: the feature is gone"

// noop is a patch that changes nothing that matters: it adds a text file.
func noop(target.Tree) (*diff.Changes, error) {
	return &diff.Changes{Files: []diff.Change{{Path: "CRISOL-NOOP.txt", Mode: 0o644, Content: []byte("nothing was changed\n")}}}, nil
}

// decoy is the candidate that deletes the feature instead of fixing it: the manifest's own, or a generated one that
// throws wherever the target is entered.
func decoy(s *scenario.Scenario) Candidate {
	if s.Target.Decoy != nil {
		return Candidate{Reference: s.Target.Decoy, LockSide: "decoy"}
	}
	return Candidate{change: func(tree target.Tree) (*diff.Changes, error) { return generateDecoy(s, tree) }}
}

func generateDecoy(s *scenario.Scenario, tree target.Tree) (*diff.Changes, error) {
	root := filepath.Join(tree.Dir, filepath.FromSlash(tree.Root))
	var changes *diff.Changes
	var err error
	switch tree.Ecosystem {
	case "npm", "dir":
		changes, err = rewrite(root, throwing)
	case "pypi":
		changes, err = pythonDecoy(s, root)
	case "golang":
		changes, err = goDecoy(root)
	default:
		changes = &diff.Changes{}
	}
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "make a decoy: %w", err)
	}
	if len(changes.Files) == 0 {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "no decoy can be generated for this target"), "add target.decoy to the manifest: a patch that deletes the feature")
	}
	return changes, nil
}

// throwing returns the body that makes a file throw when it is loaded, or nil for a file that is not loaded.
func throwing(name string) []byte {
	switch path.Ext(name) {
	case ".js", ".cjs", ".mjs":
		return fmt.Appendf(nil, "throw new Error(%q);\n", gone)
	case ".py":
		return fmt.Appendf(nil, "raise RuntimeError(%q)\n", gone)
	}
	return nil
}

func rewrite(root string, body func(name string) []byte) (*diff.Changes, error) {
	changes := &diff.Changes{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "node_modules":
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		if content := body(name); content != nil {
			changes.Files = append(changes.Files, diff.Change{Path: name, Mode: 0o644, Content: content})
		}
		return nil
	})
	return changes, err
}

// pythonDecoy rewrites the modules of the one distribution under trial, as its RECORD lists them (PEP 376). A
// distribution made from source has none: then its modules are those that no other distribution lists.
func pythonDecoy(s *scenario.Scenario, root string) (*diff.Changes, error) {
	purl, err := packageurl.FromString(s.Target.Package)
	if err != nil {
		return nil, err
	}
	records, err := filepath.Glob(filepath.Join(root, "*.dist-info", "RECORD"))
	if err != nil {
		return nil, err
	}
	others := map[string]bool{}
	for _, record := range records {
		names, err := recorded(record)
		if err != nil {
			return nil, err
		}
		dist, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(filepath.Dir(record)), ".dist-info"), "-")
		if distName(dist) == distName(purl.Name) {
			return throwingFiles(names), nil
		}
		for _, name := range names {
			others[name] = true
		}
	}
	return rewrite(root, func(name string) []byte {
		if others[name] {
			return nil
		}
		return throwing(name)
	})
}

// recorded lists the files of a distribution.
func recorded(record string) (names []string, err error) {
	body, err := os.ReadFile(record)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), ",")
		names = append(names, name)
	}
	return names, lines.Err()
}

func throwingFiles(names []string) *diff.Changes {
	changes := &diff.Changes{}
	for _, name := range names {
		if content := throwing(name); content != nil && filepath.IsLocal(name) {
			changes.Files = append(changes.Files, diff.Change{Path: name, Mode: 0o644, Content: content})
		}
	}
	return changes
}

// distName normalises a distribution's name as PEP 503 does.
func distName(name string) string {
	return strings.ToLower(distSeparators.ReplaceAllString(name, "-"))
}

var (
	distSeparators = regexp.MustCompile(`[-_.]+`)
	packageClause  = regexp.MustCompile(`(?m)^package\s+(\w+)`)
)

// goDecoy adds to every package of the module a file whose init panics.
func goDecoy(root string) (*diff.Changes, error) {
	packages := map[string]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return err
		}
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if m := packageClause.FindSubmatch(source); err == nil && m != nil && !bytes.Contains(source, []byte("//go:build ignore")) {
			packages[path.Dir(name)] = string(m[1])
		}
		return err
	})
	changes := &diff.Changes{}
	for dir, name := range packages {
		body := fmt.Appendf(nil, "package %s\n\nfunc init() { panic(%q) }\n", name, gone)
		changes.Files = append(changes.Files, diff.Change{Path: path.Join(dir, "zz_crisol_decoy.go"), Mode: 0o644, Content: body})
	}
	return changes, err
}

// hidden is the vulnerable side with the target's tree taken away.
func hidden(vulnerable side, dir string) (side, error) {
	layer := filepath.Join(dir, "hidden")
	changes := diff.Changes{Files: []diff.Change{{Path: path.Base(vulnerable.tree.Root), Deleted: true}}}
	if err := writeLayer(&changes, layer, path.Dir(vulnerable.tree.Root)); err != nil {
		return side{}, crisol.Errorf(crisol.KindInfrastructure, "hide the target: %w", err)
	}
	vulnerable.over = []string{layer}
	return vulnerable, nil
}
