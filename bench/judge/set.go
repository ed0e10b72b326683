package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"go.yaml.in/yaml/v4"

	"crisol/internal/diff"
)

// The kinds of patches, and the ways to be wrong or right.
const (
	wrong = "wrong"
	right = "right"
)

var hows = []string{"partial", "blacklist", "input_guard", "deletion", "over_restriction", "swallowed", "alternative"}

// Patch is one patch of the set.
type Patch struct {
	Scenario string `json:"scenario" yaml:"-"`
	File     string `json:"file"`
	Kind     string `json:"kind"` // wrong or right
	How      string `json:"how"`
	Why      string `json:"why"`

	diff *diff.Patch
}

// ReadSet reads every SCENARIO/patches.yaml and the diffs that it lists. A diff that isn't listed, and a list that is
// wrong, is an error.
func ReadSet(set fs.FS) ([]Patch, error) {
	lists, err := fs.Glob(set, "*/patches.yaml")
	if err != nil {
		return nil, err
	}
	if len(lists) == 0 {
		return nil, fmt.Errorf("there is no SCENARIO/patches.yaml")
	}
	var all []Patch
	for _, list := range lists {
		patches, err := readList(set, list)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list, err)
		}
		all = append(all, patches...)
	}
	return all, nil
}

func readList(set fs.FS, list string) ([]Patch, error) {
	text, err := fs.ReadFile(set, list)
	if err != nil {
		return nil, err
	}
	var patches []Patch
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&patches); err != nil {
		return nil, err
	}
	dir := path.Dir(list)
	listed := map[string]bool{}
	for i := range patches {
		p := &patches[i]
		p.Scenario = dir
		switch {
		case p.Kind != wrong && p.Kind != right, !slices.Contains(hows, p.How), (p.Kind == right) != (p.How == "alternative"), p.Why == "", listed[p.File]:
			return nil, fmt.Errorf("entry %d: %+v", i, *p)
		}
		listed[p.File] = true
		text, err := fs.ReadFile(set, path.Join(dir, p.File))
		if err != nil {
			return nil, err
		}
		if p.diff, err = diff.Parse(text, diff.Limits{}); err != nil {
			return nil, fmt.Errorf("%s: %w", p.File, err)
		}
	}
	diffs, err := fs.Glob(set, dir+"/*.diff")
	if err != nil {
		return nil, err
	}
	for _, name := range diffs {
		if !listed[path.Base(name)] {
			return nil, fmt.Errorf("%s isn't listed", path.Base(name))
		}
	}
	return patches, nil
}
