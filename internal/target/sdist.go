package target

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/textproto"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"crisol"
)

// A source distribution is code that builds a package, and building is running it. So it is never built: its archive is
// unpacked and the packages in it that can be imported as they are get copied. What a build would have compiled or
// generated is missing, and the tree's notes say so.

// Bounds of an archive once unpacked.
const (
	maxArchiveBytes   = 512 << 20
	maxArchiveEntries = 50_000
)

// fetchSource downloads a project's source distribution to scratch and returns the archive and its SHA-256.
func (p pypi) fetchSource(ctx context.Context, name, version, scratch string) (file, sum string, err error) {
	keep, err := os.MkdirTemp(scratch, "source-")
	if err != nil {
		return "", "", err
	}
	failure := p.run(ctx, scratch, keep, "download", "--no-deps", "--no-build-isolation", "--no-binary="+name,
		"--dest="+filepath.Join(scratch, "built"), name+"=="+version)
	kept, err := filepath.Glob(filepath.Join(keep, "*"))
	if err != nil {
		return "", "", err
	}
	// pip fails as soon as it wants to build: by then the archive has been kept.
	if len(kept) != 1 {
		if failure == nil {
			failure = crisol.Errorf(crisol.KindInfrastructure, "pip: no archive of %s %s", name, version)
		}
		return "", "", failure
	}
	text, err := os.ReadFile(kept[0])
	if err != nil {
		return "", "", err
	}
	digest := sha256.Sum256(text)
	return kept[0], hex.EncodeToString(digest[:]), nil
}

// unpack unpacks an archive's plain files under dir. Links and special files are left out.
func unpack(file, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	u := unpacker{root: root}
	if strings.HasSuffix(file, ".zip") || strings.HasSuffix(file, ".jar") {
		err = u.zip(file)
	} else {
		err = u.tar(file)
	}
	if err != nil {
		return crisol.Errorf(crisol.KindInput, "unpack %s: %w", filepath.Base(file), err)
	}
	return nil
}

type unpacker struct {
	root    *os.Root
	bytes   int64
	entries int
}

func (u *unpacker) zip(file string) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		if !f.Mode().IsRegular() {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		err = errors.Join(u.file(f.Name, f.Mode(), r), r.Close())
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) tar(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	plain, err := decompress(f)
	if err != nil {
		return err
	}
	for t := tar.NewReader(plain); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := u.file(h.Name, h.FileInfo().Mode(), t); err != nil {
			return err
		}
	}
}

// decompress tells the compression by the first bytes: names lie.
func decompress(f io.Reader) (io.Reader, error) {
	r := bufio.NewReader(f)
	head, err := r.Peek(3)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(r)
	case bytes.HasPrefix(head, []byte("BZh")):
		return bzip2.NewReader(r), nil
	default:
		return r, nil
	}
}

func (u *unpacker) file(name string, mode fs.FileMode, from io.Reader) error {
	name = path.Clean(name)
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%q leaves the archive", name)
	}
	if u.entries++; u.entries > maxArchiveEntries {
		return fmt.Errorf("more than %d entries", maxArchiveEntries)
	}
	if err := u.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, plainMode(mode))
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(from, maxArchiveBytes-u.bytes+1))
	if u.bytes += n; err == nil && u.bytes > maxArchiveBytes {
		err = fmt.Errorf("more than %d bytes", maxArchiveBytes)
	}
	return errors.Join(err, f.Close())
}

// source is an unpacked source distribution.
type source struct {
	dir   string // the one directory of the archive
	egg   string // its .egg-info, or ""
	name  string
	about []byte // PKG-INFO
}

func openSource(file, name, scratch string) (source, error) {
	dir, err := os.MkdirTemp(scratch, "unpacked-")
	if err != nil {
		return source{}, err
	}
	if err := unpack(file, dir); err != nil {
		return source{}, err
	}
	inside, err := os.ReadDir(dir)
	if err != nil {
		return source{}, err
	}
	if len(inside) != 1 || !inside[0].IsDir() {
		return source{}, crisol.Errorf(crisol.KindInput, "%s is not a source distribution: it isn't one directory", filepath.Base(file))
	}
	s := source{dir: filepath.Join(dir, inside[0].Name()), name: name}
	for _, pattern := range []string{"*.egg-info", "*/*.egg-info"} {
		// The pattern is ours and can't be malformed.
		if found, _ := filepath.Glob(filepath.Join(s.dir, pattern)); len(found) > 0 && s.egg == "" {
			s.egg = found[0]
		}
	}
	s.about, _ = os.ReadFile(filepath.Join(s.dir, "PKG-INFO")) // older ones have none
	return s, nil
}

// requires lists what the distribution says that it needs, as pip takes it. Only plain names with versions and markers:
// an address would be fetched from wherever the package likes.
func (s source) requires() []string {
	header, _ := textproto.NewReader(bufio.NewReader(bytes.NewReader(s.about))).ReadMIMEHeader() // what could be read
	list := slices.Clone(header["Requires-Dist"])
	if len(list) == 0 && s.egg != "" {
		list = eggRequires(s.egg)
	}
	return slices.DeleteFunc(list, func(r string) bool { return !plainRequirement.MatchString(r) })
}

var plainRequirement = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]* *(\[[A-Za-z0-9,._ -]*\])? *\(?[<>=!~0-9A-Za-z.,*+ -]*\)? *(;[^@/]*)?$`)

// eggRequires reads requires.txt: requirements, then sections of an extra, "[name]", or of a marker, "[:marker]".
func eggRequires(egg string) []string {
	text, _ := os.ReadFile(filepath.Join(egg, "requires.txt")) // none: nothing is needed
	var list []string
	marker, skip := "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if section, ok := strings.CutPrefix(line, "["); ok {
			extra, m, _ := strings.Cut(strings.TrimSuffix(section, "]"), ":")
			marker, skip = m, extra != ""
			continue
		}
		if line == "" || skip {
			continue
		}
		if marker != "" {
			line += "; " + marker
		}
		list = append(list, line)
	}
	return list
}

// stub writes a wheel to dir that holds nothing but the project's name, version and requirements.
func (s source) stub(dir, version string) error {
	name := strings.ReplaceAll(s.name, "-", "_")
	info := name + "-" + version + ".dist-info/"
	meta := "Metadata-Version: 2.1\nName: " + s.name + "\nVersion: " + version + "\n"
	for _, r := range s.requires() {
		meta += "Requires-Dist: " + r + "\n"
	}
	f, err := os.Create(filepath.Join(dir, name+"-"+version+"-py3-none-any.whl"))
	if err != nil {
		return err
	}
	z := zip.NewWriter(f)
	for _, member := range [][2]string{
		{"METADATA", meta}, {"WHEEL", "Wheel-Version: 1.0\nGenerator: crisol\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}, {"RECORD", ""},
	} {
		w, err := z.Create(info + member[0])
		if err != nil {
			return errors.Join(err, f.Close())
		}
		if _, err := io.WriteString(w, member[1]); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(z.Close(), f.Close())
}

// sourceBases are where projects keep their packages, most usual first. lib3 is one that keeps Python 2 beside it.
var sourceBases = []string{".", "src", "lib3", "python3", "lib", "python"}

// notCode are top-level directories that hold packages without being what the project installs.
var notCode = regexp.MustCompile(`^(tests?|testing|docs?|examples?|benchmarks?|scripts?|tools?|build|dist|setup|conftest|tasks|noxfile)(\.py)?$`)

// install copies the importable packages and what importlib.metadata wants to know to site.
func (s source) install(site, version string) error {
	copied := 0
	for _, name := range s.topLevel() {
		for _, base := range sourceBases {
			found, err := s.copyTop(base, name, site)
			if err != nil {
				return err
			}
			if found {
				copied++
				break
			}
		}
	}
	if copied == 0 {
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "%s %s has no wheel, and nothing importable in its source distribution", s.name, version),
			"choose a version that has a wheel for this Python")
	}
	return s.describe(site, version)
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// topLevel lists the names that can be imported: as the project says, else by the project's name, else by looking.
func (s source) topLevel() []string {
	if s.egg != "" {
		if text, err := os.ReadFile(filepath.Join(s.egg, "top_level.txt")); err == nil {
			return slices.DeleteFunc(strings.Fields(string(text)), func(n string) bool { return !identifier.MatchString(n) })
		}
	}
	own := strings.ReplaceAll(s.name, "-", "_")
	for _, base := range sourceBases {
		for _, n := range []string{own, own + ".py"} {
			if exists(filepath.Join(s.dir, base, n)) {
				return []string{own}
			}
		}
	}
	return s.lookAround()
}

// lookAround lists the packages and modules in the first base that has any.
func (s source) lookAround() []string {
	for _, base := range sourceBases {
		var names []string
		list, _ := os.ReadDir(filepath.Join(s.dir, base)) // most bases are absent
		for _, d := range list {
			module, isFile := strings.CutSuffix(d.Name(), ".py")
			isPackage := d.IsDir() && exists(filepath.Join(s.dir, base, d.Name(), "__init__.py"))
			if (isPackage || isFile && !d.IsDir()) && !notCode.MatchString(d.Name()) {
				names = append(names, module)
			}
		}
		if len(names) > 0 {
			return names
		}
	}
	return nil
}

// copyTop copies base/name or base/name.py to site, if there is such a thing.
func (s source) copyTop(base, name, site string) (bool, error) {
	from := filepath.Join(s.dir, base, name)
	if info, err := os.Stat(from); err == nil && info.IsDir() && holdsPython(from) {
		return true, os.CopyFS(filepath.Join(site, name), os.DirFS(from))
	}
	text, err := os.ReadFile(from + ".py")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, os.WriteFile(filepath.Join(site, name+".py"), text, 0o644)
}

func holdsPython(dir string) bool {
	found := false
	_ = filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".py") {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// describe writes the .dist-info by which the project is found at run time.
func (s source) describe(site, version string) error {
	info := filepath.Join(site, strings.ReplaceAll(s.name, "-", "_")+"-"+version+".dist-info")
	if err := os.Mkdir(info, 0o755); err != nil {
		return err
	}
	about := s.about
	if len(about) == 0 {
		about = fmt.Appendf(nil, "Metadata-Version: 2.1\nName: %s\nVersion: %s\n", s.name, version)
	}
	if err := os.WriteFile(filepath.Join(info, "METADATA"), about, 0o644); err != nil {
		return err
	}
	points := filepath.Join(s.egg, "entry_points.txt")
	if s.egg == "" || !exists(points) {
		return nil
	}
	text, err := os.ReadFile(points)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(info, "entry_points.txt"), text, 0o644)
}
