package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"crisol"
	"crisol/internal/spelling"
	"crisol/scenarios"
)

// Index is the library: every scenario that is embedded in the binary.
type Index struct {
	all []*Scenario
}

// library loads the embedded scenarios once.
var library = sync.OnceValues(func() (*Index, error) { return index(scenarios.Files, "library") })

// Library loads the library. The index holds every scenario that loads, also when the error tells of some that don't.
func Library() (*Index, error) { return library() }

// index loads every folder of fsys that has a manifest.
func index(fsys fs.FS, at string) (*Index, error) {
	folders, err := folders(fsys)
	if err != nil {
		return &Index{}, err
	}
	x := &Index{}
	var failed []error
	for _, name := range folders {
		s, err := loadEmbedded(fsys, name, at)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		x.all = append(x.all, s)
	}
	slices.SortFunc(x.all, func(a, b *Scenario) int { return cmp.Compare(a.ID, b.ID) })
	return x, errors.Join(failed...)
}

func folders(fsys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("read the library: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, err := fs.Stat(fsys, path.Join(e.Name(), manifestName)); e.IsDir() && err == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// loadEmbedded loads one folder of the library. Its name is the scenario's id, so that an id can be found without
// reading all of them.
func loadEmbedded(fsys fs.FS, name, at string) (*Scenario, error) {
	sub, err := fs.Sub(fsys, name)
	if err != nil {
		return nil, err
	}
	s, err := Load(sub, path.Join(at, name))
	if err != nil {
		return nil, err
	}
	if s.ID != name {
		return nil, crisol.Errorf(crisol.KindInternal, "the scenario in %s has the id %s", path.Join(at, name), quote(s.ID))
	}
	s.Embedded = true
	return s, nil
}

// All returns every scenario, sorted by id.
func (x *Index) All() []*Scenario { return slices.Clone(x.all) }

// Find returns the scenario of an id, in upper or lower case, or nil.
func (x *Index) Find(id string) *Scenario {
	for _, s := range x.all {
		if strings.EqualFold(s.ID, id) {
			return s
		}
	}
	return nil
}

// ByAlias returns every scenario of a CVE or of another identifier of the vulnerability.
func (x *Index) ByAlias(alias string) []*Scenario {
	var found []*Scenario
	for _, s := range x.all {
		if slices.ContainsFunc(s.names(), func(name string) bool { return strings.EqualFold(name, alias) }) {
			found = append(found, s)
		}
	}
	return found
}

// names lists what the vulnerability of a scenario is called.
func (s *Scenario) names() []string {
	names := append([]string{s.ID, s.Vulnerability.CVE}, s.Vulnerability.Aliases...)
	return slices.DeleteFunc(append(names, s.Vulnerability.Advisories...), func(name string) bool { return name == "" })
}

// Open returns a scenario of the library, by its id or by another identifier of its vulnerability, or one of the
// user's own by its folder. A word that is an id of the library means that; ./WORD always means a folder.
func Open(idOrFolder string) (*Scenario, error) {
	if idOrFolder == "" {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "no scenario is named"), "give an id (crisol scenario list shows them) or a folder")
	}
	if strings.ContainsAny(idOrFolder, `/\`) || strings.Trim(idOrFolder, ".") == "" {
		return openFolder(idOrFolder)
	}
	names, err := folders(scenarios.Files)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, idOrFolder) }); i >= 0 {
		return loadEmbedded(scenarios.Files, names[i], "library")
	}
	if info, err := os.Stat(idOrFolder); err == nil && (info.IsDir() || idOrFolder == manifestName) {
		return openFolder(idOrFolder)
	}
	return openAlias(idOrFolder, names)
}

// openFolder loads a folder of the user's own, also by the name of the manifest in it.
func openFolder(dir string) (*Scenario, error) {
	if filepath.Base(dir) == manifestName {
		dir = filepath.Dir(dir)
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, crisol.Errorf(crisol.KindNotFound, "there is no folder %s", dir)
	case err != nil:
		return nil, crisol.Errorf(crisol.KindInput, "open the scenario: %w", err)
	case !info.IsDir():
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "%s is not a folder", dir), "name the folder that holds %s", manifestName)
	}
	return Load(os.DirFS(dir), filepath.Clean(dir))
}

func openAlias(alias string, ids []string) (*Scenario, error) {
	x, err := Library()
	found := x.ByAlias(alias)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		var candidates []string
		for _, s := range found {
			candidates = append(candidates, s.ID)
		}
		err := crisol.Errorf(crisol.KindInput, "%s is the subject of %d scenarios: %s", alias, len(found), strings.Join(candidates, ", "))
		return nil, crisol.WithHint(err, "name one of them by its id")
	case err != nil: // it may be one of those that don't load
		return nil, crisol.Errorf(crisol.KindInternal, "read the library: %w", err)
	}
	notFound := crisol.Errorf(crisol.KindNotFound, "there is no scenario %s in the library and no folder of that name", quote(alias))
	if near := spelling.Nearest(alias, ids); near != "" {
		return nil, crisol.WithHint(notFound, "did you mean %s? crisol scenario list shows all", near)
	}
	return nil, crisol.WithHint(notFound, "crisol scenario list shows the library")
}
