package scenario

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"

	"crisol"
)

var (
	sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)
	methodForm = regexp.MustCompile(`^[A-Z]{1,16}$`)
	kindForm   = regexp.MustCompile(`^[A-Za-z][A-Za-z-]*$`)
)

// Load reads the scenario of a folder; at is the folder's name in messages. An error of a scenario that is wrong wraps
// Problems, which holds everything that is wrong with it.
func Load(dir fs.FS, at string) (*Scenario, error) {
	text, err := readManifest(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err := crisol.Errorf(crisol.KindInput, "%s has no %s", display(at), manifestName)
		return nil, crisol.WithHint(err, "crisol scenario new writes one to begin with")
	}
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "read the manifest: %w", err)
	}
	files := tidy(dir)
	beside, problems, err := survey(files, at)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "read the folder %s: %w", display(at), err)
	}
	r := &reader{file: path.Join(at, manifestName), folder: beside}
	s := &Scenario{Files: files, Path: at}
	if root := r.parse(text); root != nil {
		s.Manifest = r.manifest(root)
		problems = append(problems, s.addVariants(files, at)...)
	}
	if problems = append(problems, r.problems...); len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "%w", problems), "docs/scenarios.md describes every key")
	}
	if s.Digest, err = beside.digest(files, s.Kit); err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "read the folder %s: %w", display(at), err)
	}
	return s, nil
}

// readManifest reads the manifest, and one byte more than is allowed where there is more.
func readManifest(dir fs.FS) (text []byte, err error) {
	f, err := dir.Open(manifestName)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, maxManifest+1))
}

func display(at string) string {
	if at == "" {
		return "the folder"
	}
	return at
}
