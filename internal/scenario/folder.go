package scenario

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"crisol/internal/kit"
	"crisol/internal/spelling"
)

// The names in a scenario's folder that have a meaning.
const (
	manifestName = "scenario.yaml"
	readmeName   = "README.md"
	lockDir      = "lock"
	variantsName = "variants.json"
)

// The bounds of a folder.
const (
	maxFiles  = 100_000
	maxFolder = 1 << 30 // bytes
)

// folder is what lies beside a manifest.
type folder struct {
	names []string // of the files, sorted
	files map[string]bool
	dirs  map[string]bool
	bytes int64
}

// litter is left behind by programs and editors; it is no part of a scenario.
func litter(name string) bool {
	switch name {
	case "__pycache__", ".DS_Store", "Thumbs.db":
		return true
	}
	return strings.HasSuffix(name, "~") || strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".swp")
}

// survey lists a folder and says what in it can't be part of a scenario.
func survey(fsys fs.FS, display string) (folder, Problems, error) {
	f := folder{files: map[string]bool{}, dirs: map[string]bool{}}
	var problems Problems
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		why, err := f.add(name, entry)
		if why == "" {
			return err
		}
		problems = append(problems, Problem{File: path.Join(display, name), Message: why})
		if entry.IsDir() {
			return fs.SkipDir
		}
		return err
	})
	if len(f.names) > maxFiles || f.bytes > maxFolder {
		problems = append(problems, Problem{File: path.Join(display, "."), Message: fmt.Sprintf("the folder has more than %d files or %s", maxFiles, Size(maxFolder))})
	}
	slices.Sort(f.names)
	return f, problems, err
}

// add takes one entry in, or says why it can't be.
func (f *folder) add(name string, entry fs.DirEntry) (string, error) {
	switch {
	case strings.EqualFold(entry.Name(), ".git"):
		return "unsafe path: .git can't be part of a scenario", nil
	case entry.Type()&fs.ModeSymlink != 0:
		return "unsafe path: a symbolic link can't be part of a scenario", nil
	case entry.IsDir():
		f.dirs[name] = true
		return "", nil
	case !entry.Type().IsRegular():
		return "only files and folders can be part of a scenario", nil
	}
	info, err := entry.Info()
	if err != nil {
		return "", err
	}
	f.bytes += info.Size()
	f.files[name] = true
	f.names = append(f.names, name)
	if len(f.names) > maxFiles {
		return "", fs.SkipAll
	}
	return "", nil
}

// digest identifies a scenario: every file of its folder but the page for people, and the kit's files. Each name and
// content is preceded by its length, so that no two folders share a stream.
func (f folder) digest(fsys fs.FS, kitName string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "crisol scenario 1\n")
	if err := hashFiles(h, fsys, slices.DeleteFunc(slices.Clone(f.names), func(s string) bool { return s == readmeName })); err != nil {
		return "", err
	}
	if kitName != "" {
		fmt.Fprintf(h, "kit %s\n", kitName)
		lays, err := kit.Files(kitName)
		if err != nil {
			return "", err
		}
		if err := hashFiles(h, lays, sorted(kitPaths(kitName))); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashFiles(h io.Writer, fsys fs.FS, names []string) error {
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%d %s %d\n", len(name), name, len(text))
		if _, err := h.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func sorted(set map[string]bool) []string {
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// kitPaths lists the files that a kit lays at /work; none for an unknown kit.
func kitPaths(name string) map[string]bool {
	paths := map[string]bool{}
	fsys, err := kit.Files(name)
	if err != nil {
		return paths
	}
	// The kits are embedded: walking them can't fail.
	_ = fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths[name] = true
		}
		return err
	})
	return paths
}

var notAPath = regexp.MustCompile(`[\s$*?:;|&<>()"'{}=,]`)

// namedFile returns the argument when it looks like the name of a script, or like the path of a data file.
func namedFile(arg string) string {
	if arg == "" || arg[0] == '-' || len(arg) > 4096 || notAPath.MatchString(arg) {
		return ""
	}
	ext := strings.ToLower(path.Ext(arg))
	base := path.Base(arg)
	if ext == "" || strings.EqualFold(base, ext) {
		return ""
	}
	climbs := strings.Contains("/"+arg+"/", "/../") // maybe a payload
	if slices.Contains(scripts, ext) || slices.Contains(data, ext) && strings.Contains(arg, "/") && !climbs {
		return arg
	}
	return ""
}

// nearestFile suggests a file for a name that isn't there, written as the command would have to.
func (r *reader) nearestFile(name string, in runsIn) string {
	var among []string
	for _, file := range r.folder.names {
		if in.dir == "" {
			among = append(among, file)
		} else if rest, ok := strings.CutPrefix(file, in.dir+"/"); ok {
			among = append(among, rest)
		}
		if rest, ok := strings.CutPrefix(file, in.or+"/"); ok && in.or != "" {
			among = append(among, rest)
		}
	}
	return spelling.Nearest(name, among)
}
