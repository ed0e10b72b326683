package diff

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"crisol"
)

// Changes is what a patch makes of a tree. Nothing has been written.
type Changes struct {
	// Files are the files that differ from the tree's, sorted by path.
	Files []Change
	// Unchanged are the paths that the patch names and leaves as they were, sorted.
	Unchanged []string
	// Notes say in a sentence each what had to be mended.
	Notes []string
}

// Change is one file after the patch, whole.
type Change struct {
	Path    string
	Mode    fs.FileMode // permission bits; 0 when deleted
	Content []byte
	Deleted bool
	// HunkOffsets says by how many lines each hunk was found away from where it said.
	HunkOffsets []int
}

// Empty says whether the tree would be the same after the patch.
func (c *Changes) Empty() bool { return len(c.Files) == 0 }

// applyBudget is some tenths of a second of comparing lines. A patch for a real file needs a few thousand units.
const applyBudget budget = 10_000_000

// Apply works out what the patch makes of a tree. It reads only the files that the patch names, follows no symlink, and
// writes nothing. When one hunk does not apply, nothing does. The paths are taken as Fit takes them.
func (p *Patch) Apply(tree *os.Root) (*Changes, error) {
	fitted, note := p.Fit(tree)
	left := applyBudget
	a := &application{
		tree: tree, limits: p.limits.Or(DefaultLimits), left: &left,
		before: map[string]*state{}, after: map[string]*state{},
	}
	if note != "" {
		a.notes = append(a.notes, note)
	}
	for _, f := range fitted.Files {
		if err := a.file(f); err != nil {
			return nil, err
		}
	}
	return a.changes(), nil
}

// Fit returns the patch with the paths that Apply will use on a tree, and a note when they are others. Whoever judges a
// patch by its paths must fit it first.
//
// When the paths of all files begin with the same directory, which the tree does not have, and every file to be changed
// is found without it, the paths are taken without it (npm's package/, a release archive's lodash-4.17.11/).
func (p *Patch) Fit(tree *os.Root) (fitted *Patch, note string) {
	if len(p.Files) == 0 {
		return p, ""
	}
	dir, _ := cutFirst(p.Files[0].Path())
	if dir == "" {
		return p, ""
	}
	// Whatever else is wrong with the tree is met when the patch is applied.
	if _, err := tree.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return p, ""
	}
	files, ok := p.below(dir)
	if !ok || !allThere(files, tree) {
		return p, ""
	}
	return &Patch{Files: files, limits: p.limits}, fmt.Sprintf("paths are taken without %s/, which the target does not have", dir)
}

// below returns the files with paths relative to a directory that they all lie in.
func (p *Patch) below(dir string) ([]File, bool) {
	files := slices.Clone(p.Files)
	for i := range files {
		for _, path := range []*string{&files[i].Old, &files[i].New} {
			if *path == "" {
				continue
			}
			rest, ok := strings.CutPrefix(*path, dir+"/")
			if !ok || jail(rest) != nil { // "x/C:y" would become "C:y"
				return nil, false
			}
			*path = rest
		}
	}
	return files, true
}

// allThere says whether the tree has every file that must be there, and that there is one.
func allThere(files []File, tree *os.Root) bool {
	a := application{tree: tree}
	made := map[string]bool{"": true}
	found := false
	for _, f := range files {
		if want := needed(f); !made[want] {
			if info, err := a.stat(want); err != nil || info == nil {
				return false
			}
			found = true
		}
		made[f.New] = true
	}
	return found
}

// state is a file as it is at some moment; the zero value is no file.
type state struct {
	exists  bool
	mode    fs.FileMode
	content string
	offsets []int
}

type application struct {
	tree   *os.Root
	limits Limits
	left   *budget
	total  int64
	before map[string]*state // as the tree has them
	after  map[string]*state // as the patch leaves them
	notes  []string
}

func refuse(path, hint, format string, args ...any) error {
	return crisol.WithHint(crisol.Errorf(crisol.KindInput, "%s: "+format, append([]any{path}, args...)...), "%s", hint)
}

// stat looks at a path of the tree without following any symlink; nil is no file.
func (a *application) stat(path string) (fs.FileInfo, error) {
	for i, c := range path + "/" {
		if c != '/' {
			continue
		}
		info, err := a.tree.Lstat(path[:i])
		switch whole := i == len(path); {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			return nil, nil
		case errors.Is(err, syscall.ENAMETOOLONG):
			return nil, refuse(path, hintJail, "the path is too long for the target's file system")
		case err != nil:
			return nil, crisol.Errorf(crisol.KindInfrastructure, "%s: %w", path, err)
		case info.Mode()&fs.ModeSymlink != 0:
			return nil, refuse(path, "name the file by its real path", "%s is a symbolic link in the target", path[:i])
		case whole && !info.Mode().IsRegular():
			return nil, refuse(path, hintJail, "it is %s in the target, not a regular file", kindOf(info.Mode()))
		case whole:
			return info, nil
		case !info.IsDir():
			return nil, refuse(path, hintJail, "%s is not a directory in the target", path[:i])
		}
	}
	return nil, nil
}

func kindOf(m fs.FileMode) string {
	if m.IsDir() {
		return "a directory"
	}
	return "a special file"
}

// original returns a file of the tree.
func (a *application) original(path string) (*state, error) {
	if st, ok := a.before[path]; ok {
		return st, nil
	}
	info, err := a.stat(path)
	if err != nil {
		return nil, err
	}
	st := &state{}
	if info != nil {
		if st, err = a.read(path, info); err != nil {
			return nil, err
		}
	}
	a.before[path] = st
	return st, nil
}

func (a *application) read(path string, info fs.FileInfo) (*state, error) {
	if err := a.spend(path, info.Size()); err != nil {
		return nil, err
	}
	f, err := a.tree.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "read %s: %w", path, err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	// What was opened must be what was looked at, whatever happens to the tree in between.
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "read %s: the file was replaced meanwhile", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, info.Size()))
	if err != nil {
		return nil, crisol.Errorf(crisol.KindInfrastructure, "read %s: %w", path, err)
	}
	return &state{exists: true, mode: info.Mode().Perm(), content: string(b)}, nil
}

// spend accounts for a file that is read or produced.
func (a *application) spend(path string, size int64) error {
	if a.total += size; size > a.limits.FileBytes {
		return refuse(path, "", "the file has more than %d bytes", a.limits.FileBytes)
	}
	if a.total > a.limits.TotalBytes {
		return refuse(path, "", "the files of the patch have more than %d bytes together", a.limits.TotalBytes)
	}
	return nil
}

// current returns a file as the patch has left it so far.
func (a *application) current(path string) (*state, error) {
	if st, ok := a.after[path]; ok {
		return st, nil
	}
	return a.original(path)
}

// needed returns the path that must be in the tree for f to apply; "" when none must.
func needed(f File) string {
	if f.Op == Create || f.fills() {
		return ""
	}
	return f.Old
}

// fills says whether f gives a first content to a file that is empty, or, in a diff that can't say so, not there.
func (f File) fills() bool {
	if f.Op != Modify || len(f.Hunks) != 1 || f.Hunks[0].OldStart != 0 {
		return false
	}
	old, _ := f.Hunks[0].counts()
	return old == 0
}

func (a *application) note(format string, args ...any) {
	a.notes = append(a.notes, fmt.Sprintf(format, args...))
}

// file applies one file of the patch to what the patch has left so far.
func (a *application) file(f File) error {
	if f.Op != Modify && f.New != "" {
		if err := a.vacant(f); err != nil {
			return err
		}
	}
	from := &state{exists: true, mode: 0o644}
	if f.Op != Create {
		var err error
		if from, err = a.source(f); err != nil {
			return err
		}
	}
	to := &state{exists: true, mode: from.mode}
	if f.Mode != 0 {
		to.mode = f.Mode
	}
	var err error
	if to.content, to.offsets, err = a.hunks(f, from.content); err != nil {
		return err
	}
	if f.Op == Delete {
		if to.content != "" {
			return refuse(f.Old, "a patch that deletes a file must show all of it as removed", "the file would be deleted and still has content")
		}
		to = &state{offsets: to.offsets}
	}
	if f.Op == Rename {
		a.after[f.Old] = &state{}
	}
	if f.Op == Modify { // by an earlier part of the patch, perhaps
		to.offsets = append(slices.Clone(from.offsets), to.offsets...)
	}
	a.after[f.Path()] = to
	return nil
}

// vacant makes sure that there is nothing yet where f writes a new file.
func (a *application) vacant(f File) error {
	st, err := a.current(f.New)
	if err != nil {
		return err
	}
	if st.exists {
		return refuse(f.New, "is the patch already applied, or made for another version?", "the patch would %s the file, and it is already there", f.Op.verb())
	}
	return nil
}

func (op Op) verb() string {
	switch op {
	case Create:
		return "create"
	case Rename:
		return "rename another to"
	}
	return "copy another to"
}

// source returns the file that f starts from. Copies start from the tree's own, whatever the patch does to it besides.
func (a *application) source(f File) (*state, error) {
	look := a.current
	if f.Op == Copy {
		look = a.original
	}
	st, err := look(f.Old)
	if err != nil {
		return nil, err
	}
	switch {
	case st.exists && f.fills() && st.content != "":
		return nil, refuse(f.Old, "is the patch already applied? Make the diff against the target's own file", "the patch starts from an empty file, and this one is not")
	case !st.exists && f.fills():
		return &state{exists: true, mode: 0o644}, nil
	case !st.exists:
		return nil, refuse(f.Old, a.hintMissing(f.Old), "no such file in the target")
	}
	return st, nil
}

// hintMissing looks for the path below fewer directories.
func (a *application) hintMissing(path string) string {
	for rest := path; strings.Contains(rest, "/"); {
		_, rest = cutFirst(rest)
		if info, err := a.stat(rest); err == nil && info != nil {
			return "paths are relative to the target's root, which has " + rest
		}
	}
	return "paths are relative to the target's root; is the patch made for another version?"
}

// hunks applies all hunks of f to a content.
func (a *application) hunks(f File, content string) (string, []int, error) {
	if len(f.Hunks) == 0 {
		return content, nil, a.spend(f.Path(), int64(len(content)))
	}
	e := &edit{placer: placer{text: newText(content), left: a.left}}
	var offsets []int
	for i, h := range f.Hunks {
		at, mended, err := e.place(h)
		if err == nil {
			err = e.apply(h, at, mended)
		}
		if err != nil {
			return "", nil, e.explain(f, i, err)
		}
		offsets = append(offsets, at-h.index())
		if offset := at - h.index(); offset != 0 {
			a.note("%s: hunk %d is found %+d lines away", f.Path(), i+1, offset)
		}
		if int64(e.out.Len()) > a.limits.FileBytes {
			break
		}
	}
	e.rest()
	if e.mended {
		a.note("%s: the line endings and the final newline of the file are kept", f.Path())
	}
	return e.out.String(), offsets, a.spend(f.Path(), int64(e.out.Len()))
}

// edit builds the new content of one file.
type edit struct {
	placer
	out    strings.Builder
	copied int // lines of the old content that are settled
	open   bool
	mended bool
}

// emit writes raw lines; open: the last of them has no newline.
func (e *edit) emit(raw string, eol ending) {
	if raw == "" {
		return
	}
	if e.open { // something follows a line that was the last one
		e.newline(eol)
	}
	e.out.WriteString(raw)
	e.open = raw[len(raw)-1] != '\n'
}

func (e *edit) newline(eol ending) {
	if eol == crlf {
		e.out.WriteByte('\r')
	}
	e.out.WriteByte('\n')
	e.open = false
}

// apply writes the old content up to the hunk, and the hunk's new side up to the last change.
func (e *edit) apply(h Hunk, at int, mended bool) error {
	p := h.pattern()
	end := at + len(p.old)
	body := h.Lines[:len(h.Lines)-p.trail]
	convert, err := e.ending(h, at, end, mended)
	if err != nil {
		return err
	}
	e.mended = e.mended || mended || convert != noEnding
	seam := convert
	if seam == noEnding {
		seam = e.text.ending(0, e.text.len())
	}
	e.emit(e.text.raw(e.copied, at), seam)
	e.copied = end - p.trail
	line := at
	_, last := h.lastLines()
	for i, l := range body {
		switch l.Op {
		case ' ':
			e.emit(e.text.raw(line, line+1), seam)
			line++
		case '-':
			line++
		case '+':
			raw := withEnding(l.Text, convert) + "\n"
			if i == last && end == e.text.len() {
				raw = e.final(h, l, raw, seam)
			}
			e.emit(raw, seam)
		}
	}
	return nil
}

// ending decides which line ending the added lines get: noEnding keeps them as the patch has them.
func (e *edit) ending(h Hunk, at, end int, mended bool) (ending, error) {
	old, all := h.endings()
	if !mended && old != noEnding {
		return noEnding, nil
	}
	have := e.text.ending(at, end)
	if have == noEnding {
		have = e.text.ending(0, e.text.len())
	}
	switch {
	case all == have || all == noEnding || have == noEnding:
		return noEnding, nil
	case all != mixed && have != mixed:
		return have, nil
	case !mended:
		return noEnding, nil
	}
	return noEnding, fmt.Errorf("the line endings of the patch (%s) and of the file there (%s) differ, and it is not clear which the new lines should have", all, have)
}

func withEnding(text string, e ending) string {
	switch e {
	case lf:
		return strings.TrimSuffix(text, "\r")
	case crlf:
		return strings.TrimSuffix(text, "\r") + "\r"
	}
	return text
}

// final returns the added line with which the file ends; raw is the line as any other. A patch that changes nothing
// about the final newline leaves it as the file has it.
func (e *edit) final(h Hunk, l Line, raw string, seam ending) string {
	open := l.NoEOL
	if lastOld, _ := h.lastLines(); lastOld >= 0 && h.Lines[lastOld].NoEOL == l.NoEOL {
		open = e.text.unterminated()
	}
	switch {
	case open && l.NoEOL:
		return l.Text
	case open:
		return strings.TrimSuffix(l.Text, "\r")
	case l.NoEOL && seam == crlf:
		return l.Text + "\r\n"
	}
	return raw
}

// rest writes what follows the last hunk.
func (e *edit) rest() {
	e.emit(e.text.raw(e.copied, e.text.len()), e.text.ending(0, e.text.len()))
	e.copied = e.text.len()
}

// changes compares what the patch left with what the tree has.
func (a *application) changes() *Changes {
	c := &Changes{Notes: a.notes}
	for path, now := range a.after {
		then, ok := a.before[path]
		if !ok {
			then = &state{}
		}
		if now.exists == then.exists && now.mode == then.mode && now.content == then.content {
			c.Unchanged = append(c.Unchanged, path)
			continue
		}
		c.Files = append(c.Files, Change{
			Path: path, Mode: now.mode, Content: []byte(now.content), Deleted: !now.exists, HunkOffsets: now.offsets,
		})
	}
	slices.SortFunc(c.Files, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(c.Unchanged)
	return c
}
