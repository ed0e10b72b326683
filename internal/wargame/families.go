package wargame

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"crisol/internal/ambiguity"
	"crisol/internal/target"
	"crisol/internal/variant"
)

// The most families that are tried, and the most of a tree that is read for its expressions.
const (
	mostFamilies = 10
	mostSources  = 2000
	mostSource   = 1 << 20
)

// sourceLanguages maps the endings of sources whose expressions can be read to their language.
var sourceLanguages = map[string]string{".js": "javascript", ".cjs": "javascript", ".mjs": "javascript", ".ts": "typescript", ".py": "python"}

// familyPrefix begins the id of a variant that an ambiguity gave.
const familyPrefix = "family-"

func isFamily(v variant.Variant) bool { return strings.HasPrefix(v.ID, familyPrefix) }

// families are variants for the form pump: texts that make expressions of the target's own source slow, found by the
// expressions' ambiguity. Expressions that the reference changed come first; where it changed any, the others are left.
func (t *trial) families() ([]variant.Variant, error) {
	vulnerable, err := expressions(t.vulnerable.tree)
	if err != nil {
		return nil, err
	}
	fixed, err := expressions(t.patched.tree)
	if err != nil {
		return nil, err
	}
	var changed, kept []expression
	still := map[string]bool{}
	for _, e := range fixed {
		still[e.Pattern+"/"+e.Flags] = true
	}
	for _, e := range vulnerable {
		if still[e.Pattern+"/"+e.Flags] {
			kept = append(kept, e)
		} else {
			changed = append(changed, e)
		}
	}
	if list, err := search(changed); err != nil || len(list) > 0 {
		return list, err
	}
	return search(kept)
}

// expression is a regular expression and the file that holds it.
type expression struct {
	ambiguity.Literal
	file string
}

// search derives a variant from each family of each expression, exponential ones as they come first in each.
func search(list []expression) (found []variant.Variant, err error) {
	seen := map[string]bool{}
	for _, e := range list {
		parsed, err := ambiguity.Parse(e.Pattern, e.Flags)
		if err != nil {
			continue // an expression that can't be read yields nothing, and the others still count
		}
		for _, f := range ambiguity.Search(parsed, ambiguity.Limits{}).Families {
			for _, pump := range []string{f.Pump, f.Alternative} {
				payload, err := variant.Encode(map[string]string{"prefix": f.Prefix, "pump": pump, "suffix": f.Suffix})
				if err != nil {
					return nil, err
				}
				if pump == "" || seen[string(payload)] || len(found) == mostFamilies {
					continue
				}
				seen[string(payload)] = true
				found = append(found, variant.Variant{
					ID: fmt.Sprintf("%s%d", familyPrefix, len(found)+1), Payload: payload,
					Title: fmt.Sprintf("an ambiguity of the expression on line %d of %s (%s)", e.Line, e.file, f.Kind),
				})
			}
		}
	}
	return found, nil
}

// expressions lists the regular expressions of a target's own sources, once each.
func expressions(tree target.Tree) ([]expression, error) {
	root := filepath.Join(tree.Dir, filepath.FromSlash(tree.Root))
	var list []expression
	seen := map[string]bool{}
	files := 0
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != root && (entry.Name() == "node_modules" || entry.Name() == "test" || entry.Name() == "tests") {
			return fs.SkipDir
		}
		language := sourceLanguages[path.Ext(entry.Name())]
		if language == "" || !entry.Type().IsRegular() || strings.Contains(entry.Name(), ".min.") {
			return nil
		}
		if files++; files > mostSources {
			return fs.SkipAll
		}
		info, err := entry.Info()
		if err != nil || info.Size() > mostSource {
			return err
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		local, _ := filepath.Rel(root, name) // name is below root
		for _, literal := range ambiguity.Literals(source, language) {
			key := literal.Pattern + "/" + literal.Flags
			if !seen[key] {
				seen[key] = true
				list = append(list, expression{literal, filepath.ToSlash(local)})
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.SkipAll) {
		return nil, fmt.Errorf("read the target's expressions: %w", err)
	}
	return list, nil
}
