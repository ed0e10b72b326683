package predict

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"crisol"
)

// Suffix is the ending of a bundle's file.
const Suffix = ".model"

// DefaultChampion is the model that decides until another is promoted.
const DefaultChampion = "rf_v1"

// championFile names the promoted model, in the registry's directory.
const championFile = "champion"

var versionForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Registry knows the models: those that come with Crisol, and those kept in a directory, which may be missing. A model in
// the directory takes the place of one of the same version that comes with Crisol.
type Registry struct {
	Shipped fs.FS // of *.model files
	Dir     string

	disk disk
	mu   sync.Mutex // guards what follows
	read map[string]*Bundle
}

// Entry is one model of the registry.
type Entry struct {
	Version  string    `json:"version"`
	Shipped  bool      `json:"shipped"`
	Champion bool      `json:"champion"`
	Manifest *Manifest `json:"model,omitempty"`
	// Error says why the model can't be used.
	Error string `json:"error,omitempty"`
}

// List returns every model, by version. One that can't be read is listed with its error.
func (r *Registry) List() ([]Entry, error) {
	champion, err := r.champion()
	if err != nil {
		return nil, err
	}
	kept, err := within(&r.disk, r.Dir, func() ([]string, error) { return versions(os.DirFS(r.Dir)) })
	if err != nil && r.Dir != "" {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "list the models in %s: %w", r.Dir, err)
	}
	shipped, err := versions(r.Shipped)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInternal, "list the models that come with Crisol: %w", err)
	}
	all := append(slices.Clone(kept), shipped...)
	slices.Sort(all)
	var list []Entry
	for _, version := range slices.Compact(all) {
		entry := Entry{Version: version, Shipped: !slices.Contains(kept, version), Champion: version == champion}
		if b, err := r.Open(version); err != nil {
			entry.Error = err.Error()
		} else {
			entry.Manifest = &b.Manifest
		}
		list = append(list, entry)
	}
	return list, nil
}

func versions(fsys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if version, ok := strings.CutSuffix(entry.Name(), Suffix); ok && versionForm.MatchString(version) {
			names = append(names, version)
		}
	}
	return names, nil
}

// Open reads one model, once.
func (r *Registry) Open(version string) (*Bundle, error) {
	r.mu.Lock()
	b := r.read[version]
	r.mu.Unlock()
	if b != nil {
		return b, nil
	}
	if !versionForm.MatchString(version) {
		return nil, crisol.Errorf(crisol.KindInput, "%q is no version of a model", version)
	}
	file, err := r.file(version)
	if err != nil {
		return nil, err
	}
	if b, err = Decode(file); err != nil {
		return nil, err
	}
	if b.Version != version {
		return nil, crisol.Errorf(crisol.KindInput, "read the model: the file of %s holds %s", version, b.Version)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.read[version]; other != nil { // somebody was faster; one model is one bundle
		return other, nil
	}
	if r.read == nil {
		r.read = map[string]*Bundle{}
	}
	r.read[version] = b
	return b, nil
}

func (r *Registry) file(version string) ([]byte, error) {
	if r.Dir != "" {
		file, err := r.disk.file(filepath.Join(r.Dir, version+Suffix))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
	}
	file, err := fs.ReadFile(r.Shipped, version+Suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindNotFound, "there is no model %q", version), "crisol model list shows those that there are")
	}
	return file, err
}

// Champion opens the model that decides.
func (r *Registry) Champion() (*Bundle, error) {
	version, err := r.champion()
	if err != nil {
		return nil, err
	}
	return r.Open(version)
}

// Usable returns the models that can be read, by version.
func (r *Registry) Usable() []*Bundle {
	entries, err := r.List()
	if err != nil {
		return nil // who asks for the champion is told why
	}
	var usable []*Bundle
	for _, e := range entries {
		if b, err := r.Open(e.Version); err == nil {
			usable = append(usable, b)
		}
	}
	return usable
}

// ChampionVersion names the model that decides.
func (r *Registry) ChampionVersion() (string, error) { return r.champion() }

func (r *Registry) champion() (string, error) {
	if r.Dir == "" {
		return DefaultChampion, nil
	}
	text, err := r.disk.file(filepath.Join(r.Dir, championFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return DefaultChampion, nil
	case err != nil:
		return "", crisol.Errorf(crisol.KindInfrastructure, "read which model was promoted: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Promote makes a model the champion. One that can't be read is refused.
func (r *Registry) Promote(version string) error {
	if _, err := r.Open(version); err != nil {
		return err
	}
	return r.write(championFile, []byte(version+"\n"))
}

// Keep writes a model to the directory.
func (r *Registry) Keep(b *Bundle) error {
	file, err := b.Encode()
	if err != nil {
		return err
	}
	if !versionForm.MatchString(b.Version) {
		return crisol.Errorf(crisol.KindInput, "%q is no version of a model", b.Version)
	}
	if err := r.write(b.Version+Suffix, file); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.read, b.Version)
	return nil
}

// write puts a whole file in the directory, or leaves what was there.
func (r *Registry) write(name string, text []byte) error {
	if r.Dir == "" {
		return crisol.Errorf(crisol.KindInternal, "the registry has no directory")
	}
	fail := func(err error) error {
		return crisol.WithHint(crisol.Errorf(crisol.KindInfrastructure, "write %s: %w", filepath.Join(r.Dir, name), err), "choose a writable directory with --data")
	}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return fail(err)
	}
	file, err := os.CreateTemp(r.Dir, name+".*.tmp")
	if err != nil {
		return fail(err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.Write(text)
	if err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return fail(err)
	}
	if err := os.Rename(file.Name(), filepath.Join(r.Dir, name)); err != nil {
		return fail(err)
	}
	return nil
}
