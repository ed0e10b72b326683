package corpus

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"crisol"
	"crisol/internal/syntax"
)

// largestSource bounds a source file that candidates touch, in bytes.
const largestSource = 1 << 20

// A sources holds the texts of a tree's source files, by their path below the target's own tree.
type sources map[string]string

// readSources reads the source files below dir that are the target's own: no tests, examples or documentation, nothing
// that was minified, and nothing of what it depends on.
func readSources(dir, ecosystem, pkg string) (sources, error) {
	own, err := ownFiles(dir, ecosystem, pkg)
	if err != nil {
		return nil, err
	}
	tree := sources{}
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		rel = filepath.ToSlash(rel)
		switch {
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "__pycache__"):
			return fs.SkipDir
		case d.IsDir() || !d.Type().IsRegular() || !mayBeSource(rel) || !own(rel):
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() > largestSource {
			return err
		}
		text, err := os.ReadFile(name)
		if err == nil && isSource(rel, text) {
			tree[rel] = string(text)
		}
		return err
	})
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "read the target's tree: %w", err)
	}
	return tree, nil
}

var (
	notSource  = regexp.MustCompile(`(?i)(^|/)(tests?|__tests__|specs?|testdata|testing|__mocks__|docs?|examples?|demos?|bench(marks?)?|fixtures|coverage|vendor)/`)
	testSource = regexp.MustCompile(`(?i)(^|/)(test_[^/]*\.py|tests?\.[a-z]+|conftest\.py|[^/]*(_test\.(py|go|rs|c|cc)|[.-](test|spec)\.[cm]?jsx?|Tests?\.java)|(gulp|grunt)file\.js|(karma|rollup|webpack|jest|babel|bower)[^/]*\.(conf|config)\.[cm]?js|setup\.py)$`)
	minified   = regexp.MustCompile(`(?i)[.-](min|slim\.min|bundle\.min)\.[cm]?js$`)
)

// mayBeSource says whether a path may be that of a source file. One without an extension may be a program.
func mayBeSource(name string) bool {
	return (path.Ext(name) == "" || syntax.Detect(name, nil) != syntax.Unknown) && !notSource.MatchString(name) && !testSource.MatchString(name) && !minified.MatchString(name)
}

// isSource says whether a file is source that a program may load.
func isSource(name string, text []byte) bool {
	switch syntax.Detect(name, text) {
	case syntax.Unknown, syntax.TypeScript, syntax.TSX:
		return false
	}
	return mayBeSource(name) && utf8.Valid(text) && !bytes.ContainsRune(text, 0)
}

// ownFiles says which files below dir belong to the package. Only where several packages share a directory is there
// something to tell.
func ownFiles(dir, ecosystem, pkg string) (func(string) bool, error) {
	if ecosystem != "pypi" {
		return func(string) bool { return true }, nil
	}
	records, err := filepath.Glob(filepath.Join(dir, "*.dist-info", "RECORD"))
	if err != nil {
		return nil, err
	}
	own, others := map[string]bool{}, map[string]bool{}
	for _, record := range records {
		dist, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(filepath.Dir(record)), ".dist-info"), "-")
		into := others
		if distName(dist) == distName(pkg) {
			into = own
		}
		if err := recorded(record, into); err != nil {
			return nil, crisol.Errorf(crisol.KindInfrastructure, "read %s: %w", filepath.Base(filepath.Dir(record)), err)
		}
	}
	if len(own) > 0 {
		return func(name string) bool { return own[name] }, nil
	}
	return func(name string) bool { return !others[name] }, nil // one made from source has an empty record
}

// recorded adds the files that a distribution's RECORD lists (PEP 376).
func recorded(record string, into map[string]bool) error {
	text, err := os.ReadFile(record)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), ",")
		into[name] = true
	}
	return lines.Err()
}

// distName normalises a distribution's name (PEP 503).
func distName(name string) string {
	return strings.ToLower(regexp.MustCompile(`[-_.]+`).ReplaceAllString(name, "-"))
}

var required = regexp.MustCompile(`(?:require\(|require\.resolve\(|import\(|from|import)\s*['"\x60]([^'"\x60\n]+)['"\x60]`)

// loaded returns those of an npm package's source files that the scenario's scripts load, so far as their requires tell;
// nil where they tell nothing. scripts are the texts of the scenario's own programs.
func loaded(tree sources, manifest []byte, pkg string, scripts []string) map[string]bool {
	reached := map[string]bool{}
	var queue []string
	visit := func(base string) {
		if name, ok := resolveModule(tree, base); ok && !reached[name] {
			reached[name] = true
			queue = append(queue, name)
		}
	}
	for _, script := range scripts {
		for _, m := range required.FindAllStringSubmatch(script, -1) {
			switch sub, below := strings.CutPrefix(m[1], pkg+"/"); {
			case m[1] == pkg:
				for _, entry := range entries(manifest) {
					visit(entry)
				}
			case below:
				visit(path.Clean(sub))
			}
		}
		for name := range tree { // a program of the package that is run by its path
			if len(path.Base(name)) > 5 && strings.Contains(script, pkg+"/"+name) {
				visit(name)
			}
		}
	}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		for _, m := range required.FindAllStringSubmatch(tree[name], -1) {
			if strings.HasPrefix(m[1], ".") {
				visit(path.Join(path.Dir(name), m[1]))
			}
		}
	}
	if len(reached) == 0 {
		return nil
	}
	return reached
}

// resolveModule finds the file that a relative module name means.
func resolveModule(tree sources, base string) (string, bool) {
	base = strings.TrimPrefix(path.Clean(base), "./")
	for _, suffix := range []string{"", ".js", ".cjs", ".mjs", "/index.js", "/index.cjs", "/index.mjs"} {
		name := base + suffix
		if base == "." {
			name = strings.TrimPrefix(suffix, "/")
		}
		if _, ok := tree[name]; ok {
			return name, true
		}
	}
	return "", false
}

// source reads the text of a file below dir.
func source(dir, name string) (string, bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return string(text), err == nil, err
}
