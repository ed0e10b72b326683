// Package diff reads a unified diff, checks that it stays inside the tree it is meant for, and applies it in memory.
//
// In goes the text of a patch, and later an *os.Root of the tree. Out comes a Patch (normalised, with a digest that
// says which change it is), and from Apply the Changes: every changed file whole, or an error and nothing. Changes can
// be written as an overlayfs layer, so that the tree itself is never touched.
//
// What is unambiguous is mended: a/ and b/ prefixes, timestamps, line endings, a missing final newline, hunks that
// moved. Nothing is guessed: a context line that differs, a path that could mean two files, a binary patch, or anything
// that points out of the tree is the caller's error (crisol.KindInput) and names the line.
//
// Parsing of headers and hunks is github.com/bluekeyes/go-gitdiff; what it leaves open (the jail, file modes, prefixes,
// carriage returns, text it would skip in silence, placing a hunk that moved) is settled here. The package knows nothing
// of vulnerabilities, and runs nothing.
package diff

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"

	"crisol"
)

// Limits bound a patch and what comes of it. A zero field takes the value of DefaultLimits.
type Limits struct {
	Bytes      int64 // of the patch's text
	Files      int   // named by the patch
	Hunks      int   // in all files together
	Lines      int   // of the patch's text
	LineBytes  int   // of one line of the patch
	FileBytes  int64 // of one file of the tree, before or after
	TotalBytes int64 // of all files read and produced by one Apply
}

// DefaultLimits suit patches that people and programs write; a generated bundle may need more.
var DefaultLimits = Limits{
	Bytes: 10 << 20, Files: 500, Hunks: 10000, Lines: 500000, LineBytes: 1 << 20, FileBytes: 32 << 20, TotalBytes: 256 << 20,
}

// Or returns l with its zero fields taken from d.
func (l Limits) Or(d Limits) Limits {
	pick(&l.Bytes, d.Bytes)
	pick(&l.Files, d.Files)
	pick(&l.Hunks, d.Hunks)
	pick(&l.Lines, d.Lines)
	pick(&l.LineBytes, d.LineBytes)
	pick(&l.FileBytes, d.FileBytes)
	pick(&l.TotalBytes, d.TotalBytes)
	// Lines of a file are indexed with 32 bits.
	l.FileBytes = min(l.FileBytes, 1<<31-1)
	return l
}

func pick[T int | int64](field *T, fallback T) {
	if *field == 0 {
		*field = fallback
	}
}

// Op is what a patch does to a file.
type Op string

// The five things that can happen to a file.
const (
	Modify Op = "modify"
	Create Op = "create"
	Delete Op = "delete"
	Rename Op = "rename"
	Copy   Op = "copy"
)

// Patch is a parsed, normalised patch. It must not be changed.
type Patch struct {
	Files  []File
	limits Limits
}

// File is the change of one file. Paths are relative, slash-separated and stay inside the tree.
type File struct {
	Old string // "" for Create
	New string // "" for Delete
	Op  Op
	// OldMode and Mode are 0644 or 0755; zero where the patch says nothing. A created file has a Mode and a deleted one
	// an OldMode.
	OldMode fs.FileMode
	Mode    fs.FileMode
	Hunks   []Hunk
}

// Path is the path that the file has after the patch, or had before it was deleted.
func (f File) Path() string {
	if f.New != "" {
		return f.New
	}
	return f.Old
}

// Hunk is one run of changes. Within each run of changed lines the removed ones come first.
type Hunk struct {
	// OldStart is the first line that the hunk replaces, counted from 1; without old lines, the line it inserts after.
	OldStart int
	Lines    []Line
	// Line is where the hunk's header stands in the text of the patch; 0 for a hunk that was derived.
	Line int
}

// Line is one line of a hunk.
type Line struct {
	Op   byte   // ' ' in both files, '-' only in the old, '+' only in the new
	Text string // without its newline
	// NoEOL is set for a last line without a newline.
	NoEOL bool
}

// Read reads at most l.Bytes from r and parses them.
func Read(r io.Reader, l Limits) (*Patch, error) {
	l = l.Or(DefaultLimits)
	text, err := io.ReadAll(io.LimitReader(r, l.Bytes+1))
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInput, "read patch: %w", err)
	}
	return Parse(text, l)
}

// Parse reads a git-style or plain unified diff. Text around the diffs (a commit message, a mail) is skipped, unless it
// looks like a diff that went wrong. A text without any change is an error.
func Parse(text []byte, l Limits) (*Patch, error) {
	l = l.Or(DefaultLimits)
	lines, err := split(text, l)
	if err != nil {
		return nil, err
	}
	sections, err := scan(lines, l)
	if err != nil {
		return nil, err
	}
	if len(sections) == 0 {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "parse patch: no file header and no hunk in it"),
			"a patch is a unified diff: make one with `git diff` or `diff -u OLD NEW`")
	}
	p := &Patch{limits: l}
	bare := prefixless(sections)
	for _, s := range sections {
		f, err := s.file(bare)
		if err != nil {
			return nil, err
		}
		p.Files = append(p.Files, f)
	}
	if err := p.checkRoles(sections); err != nil {
		return nil, err
	}
	return p, nil
}

// checkRoles refuses a patch that names a path in two ways whose order would matter, or as both a file and a directory.
func (p *Patch) checkRoles(sections []*section) error {
	seen := map[string]Op{} // what the patch has last done to a path
	before, after := map[string]bool{}, map[string]bool{}
	claim := func(i int, path string, op Op, ok func(before Op) bool) error {
		if before, touched := seen[path]; touched && !ok(before) {
			return crisol.WithHint(
				crisol.Errorf(crisol.KindInput, "parse patch: line %d: %s of %s after %s of it", sections[i].line, op, path, before),
				"name each file once; make one diff of the whole change")
		}
		seen[path] = op
		return nil
	}
	never := func(Op) bool { return false }
	modified := func(before Op) bool { return before == Modify }
	for i, f := range p.Files {
		var err error
		switch f.Op {
		case Modify:
			err = claim(i, f.New, Modify, func(b Op) bool { return b != Delete })
		case Create:
			err = claim(i, f.New, Create, never)
		case Delete:
			err = claim(i, f.Old, Delete, modified)
		case Rename:
			if err = claim(i, f.Old, Delete, modified); err == nil {
				err = claim(i, f.New, Create, never)
			}
		case Copy:
			err = claim(i, f.New, Create, never)
		}
		if err != nil {
			return err
		}
		before[f.Old], after[f.New] = true, true
	}
	return errors.Join(checkTree(before), checkTree(after))
}

// checkTree refuses paths that can't all be files of one tree.
func checkTree(files map[string]bool) error {
	for _, path := range slices.Sorted(maps.Keys(files)) {
		for dir := parent(path); dir != ""; dir = parent(dir) {
			if files[dir] {
				return crisol.Errorf(crisol.KindInput, "parse patch: %s is both a file and the directory of %s", dir, path)
			}
		}
	}
	return nil
}

func parent(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return ""
	}
	return path[:i]
}

// Paths lists every path that the patch reads or writes, sorted.
func (p *Patch) Paths() []string {
	var paths []string
	for _, f := range p.Files {
		if f.Old != "" {
			paths = append(paths, f.Old)
		}
		if f.New != "" {
			paths = append(paths, f.New)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// Digest is the sha256, in hex, of the normalised patch. It depends neither on the order of the files nor on prefixes,
// timestamps, index lines, hunk comments, the patch's own line endings or the text around the diffs.
func (p *Patch) Digest() string {
	sorted := Patch{Files: slices.Clone(p.Files)}
	// Stable: several changes of one path are applied in their order.
	slices.SortStableFunc(sorted.Files, func(a, b File) int { return strings.Compare(a.Path(), b.Path()) })
	sum := sha256.Sum256([]byte(sorted.String()))
	return hex.EncodeToString(sum[:])
}

// String renders the patch as a git-style diff that parses back to the same Digest; "" when no file is left in it.
func (p *Patch) String() string {
	var b strings.Builder
	for _, f := range p.Files {
		b.WriteString(f.gitdiff().String())
	}
	return b.String()
}

// gitdiff turns f into the library's form, for its formatter.
func (f File) gitdiff() *gitdiff.File {
	g := &gitdiff.File{
		OldName: f.Old, NewName: f.New,
		IsNew: f.Op == Create, IsDelete: f.Op == Delete, IsRename: f.Op == Rename, IsCopy: f.Op == Copy,
	}
	if f.OldMode != 0 {
		g.OldMode = regular | f.OldMode
	}
	if f.Mode != 0 {
		g.NewMode = regular | f.Mode
	}
	delta := 0
	for _, h := range f.Hunks {
		t := h.gitdiff(delta)
		delta += int(t.NewLines - t.OldLines)
		g.TextFragments = append(g.TextFragments, t)
	}
	return g
}

// gitdiff turns h into the library's form; delta is by how much the hunks before it made the file longer.
func (h Hunk) gitdiff(delta int) *gitdiff.TextFragment {
	t := &gitdiff.TextFragment{OldPosition: int64(h.OldStart)}
	for _, l := range h.Lines {
		g := gitdiff.Line{Line: l.Text + "\n"}
		if l.NoEOL {
			g.Line = l.Text
		}
		switch l.Op {
		case '-':
			g.Op = gitdiff.OpDelete
			t.OldLines++
		case '+':
			g.Op = gitdiff.OpAdd
			t.NewLines++
		default:
			t.OldLines++
			t.NewLines++
		}
		t.Lines = append(t.Lines, g)
	}
	t.NewPosition = int64(h.newStart(delta))
	return t
}

// counts returns how many lines the hunk has on either side.
func (h Hunk) counts() (old, now int) {
	for _, l := range h.Lines {
		if l.Op != '+' {
			old++
		}
		if l.Op != '-' {
			now++
		}
	}
	return old, now
}

// index is where the hunk begins among the old lines, counted from 0.
func (h Hunk) index() int {
	if old, _ := h.counts(); old == 0 {
		return h.OldStart
	}
	return h.OldStart - 1
}

// newStart is the start on the new side, with the convention of OldStart.
func (h Hunk) newStart(delta int) int {
	if _, n := h.counts(); n == 0 {
		return h.index() + delta
	}
	return h.index() + delta + 1
}
