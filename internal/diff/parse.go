package diff

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"

	"crisol"
)

// regular is git's mode bit of a regular file.
const regular fs.FileMode = 0o100000

const noEOLMarker = `\ No newline at end of file`

// draft is a section as text in exactly git's own form, with the line of the patch that each of its lines came from.
type draft struct {
	strings.Builder
	from []int
}

func (d *draft) line(from int, text string) {
	d.WriteString(text)
	d.WriteByte('\n')
	d.from = append(d.from, from)
}

// file turns a section into a File: paths are decided and jailed, then the library parses the section in git's form.
func (s *section) file(bare bool) (File, error) {
	old, now, op, err := s.paths(bare)
	if err != nil {
		return File{}, crisol.WithHint(bad(s.line, "%w", err), "write the same path on both sides: \"--- a/PATH\" and \"+++ b/PATH\"")
	}
	for _, path := range []string{old, now} {
		if path == "" && op != Modify && op != Rename && op != Copy {
			continue
		}
		if err := jail(path); err != nil {
			return File{}, crisol.WithHint(bad(s.line, "%s: %w", quoteShort(path), err), "%s", hintJail)
		}
	}
	g, err := s.gitdiff(old, now, op)
	if err != nil {
		return File{}, err
	}
	f := File{Old: old, New: now, Op: op}
	if f.OldMode, f.Mode, err = s.modes(op, g); err != nil {
		return File{}, err
	}
	if f.Hunks, err = s.convert(op, g.TextFragments); err != nil {
		return File{}, err
	}
	if op == Modify && len(f.Hunks) == 0 && f.Mode == 0 {
		return File{}, crisol.WithHint(bad(s.line, "nothing is changed in %s: no hunk and no mode", f.New), "send the whole diff, with its hunks")
	}
	return f, nil
}

const hintJail = "a patch may only name regular files below the target's root, relative to it"

// gitdiff renders the section in git's form and has the library parse it.
func (s *section) gitdiff(old, now string, op Op) (*gitdiff.File, error) {
	var d draft
	s.header(&d, old, now, op)
	for i := range s.hunks {
		s.hunks[i].write(&d, s.crlf)
	}
	files, preamble, err := gitdiff.Parse(strings.NewReader(d.String()))
	if err != nil {
		return nil, d.locate(s, err)
	}
	if len(files) != 1 || preamble != "" || files[0].OldName != old || files[0].NewName != now || len(files[0].TextFragments) != len(s.hunks) {
		return nil, bad(s.line, "the header of %s can't be read in one way only", quoteShort(old+now))
	}
	return files[0], nil
}

func (s *section) header(d *draft, old, now string, op Op) {
	path := File{Old: old, New: now}.Path()
	a, b := old, now
	if a == "" {
		a = path
	}
	if b == "" {
		b = path
	}
	d.line(s.line, "diff --git "+quote("a/"+a)+" "+quote("b/"+b))
	for _, key := range []string{"old mode", "new mode", "deleted file mode", "new file mode"} {
		if value, ok := s.ext[key]; ok {
			d.line(s.extLine[key], key+" "+value)
		}
	}
	switch _, created := s.ext["new file mode"]; {
	case op == Create && !created:
		d.line(s.line, "new file mode 100644")
	case op == Rename || op == Copy:
		d.line(s.line, string(op)+" from "+quote(old))
		d.line(s.line, string(op)+" to "+quote(now))
	}
	if _, deleted := s.ext["deleted file mode"]; op == Delete && !deleted {
		d.line(s.line, "deleted file mode 100644")
	}
	// Object names say nothing here, but the mode behind them unmasks a symlink or a submodule.
	if _, mode, ok := strings.Cut(strings.TrimSpace(s.ext["index"]), " "); ok {
		d.line(s.extLine["index"], "index 0..0 "+mode)
	}
	if len(s.hunks) == 0 {
		return
	}
	if old == "" {
		d.line(s.line, "--- "+devNull)
	} else {
		d.line(s.line, "--- "+quote("a/"+old))
	}
	if now == "" {
		d.line(s.line+1, "+++ "+devNull)
	} else {
		d.line(s.line+1, "+++ "+quote("b/"+now))
	}
}

// write renders the hunk with whole lines, and with its line endings unless all of the patch was converted to CRLF.
func (h *rawHunk) write(d *draft, crlf bool) {
	d.line(h.line, fmt.Sprintf("@@ -%d,%d +%d,%d @@", h.oldStart, h.old, h.newStart, h.now))
	changes := slices.ContainsFunc(h.body, func(l line) bool { return l.text != "" && (l.text[0] == '+' || l.text[0] == '-') })
	for i, l := range h.body {
		at := h.line + 1 + i
		text := l.text
		if text == "" {
			text = " " // editors and mailers trim the blank of an empty context line
		}
		if text[0] == '\\' {
			d.line(at, noEOLMarker)
			continue
		}
		if l.cr && !crlf {
			text += "\r"
		}
		if changes || text[0] != ' ' {
			d.line(at, text)
			continue
		}
		// A hunk that changes nothing is an error to the library. As a line replaced by itself it still has to match.
		changes = true
		marked := i+1 < len(h.body) && strings.HasPrefix(h.body[i+1].text, `\`)
		d.line(at, "-"+text[1:])
		if marked {
			d.line(at, noEOLMarker)
		}
		d.line(at, "+"+text[1:])
	}
	for range h.chopped {
		d.line(h.line, " ")
	}
}

var libraryError = regexp.MustCompile(`^gitdiff: line (-?\d+): (.*)$`)

// locate turns the library's error about the draft into one about the patch.
func (d *draft) locate(s *section, err error) error {
	m := libraryError.FindStringSubmatch(err.Error())
	if m == nil {
		return bad(s.line, "%w", err)
	}
	at := s.line
	if n, numErr := strconv.Atoi(m[1]); numErr == nil && n >= 1 && n <= len(d.from) {
		at = d.from[n-1]
	}
	return bad(at, "%w", errors.New(m[2]))
}

// modes checks every mode that the section names.
func (s *section) modes(op Op, g *gitdiff.File) (old, now fs.FileMode, err error) {
	for _, m := range []fs.FileMode{g.OldMode, g.NewMode} {
		if err := checkMode(m); err != nil {
			return 0, 0, crisol.WithHint(bad(s.line, "%s: %w", File{Old: g.OldName, New: g.NewName}.Path(), err), "%s", hintJail)
		}
	}
	old, now = g.OldMode&0o777, g.NewMode&0o777
	_, hasOld := s.ext["old mode"]
	_, hasNew := s.ext["new mode"]
	switch {
	case (op == Create || hasNew) && now == 0, (op == Delete || hasOld) && old == 0:
		return 0, 0, bad(s.line, "a mode of 0")
	case op == Create:
		return 0, now, s.noModeChange(hasOld || hasNew)
	case op == Delete:
		return old, 0, s.noModeChange(hasOld || hasNew)
	case hasOld != hasNew:
		return 0, 0, bad(s.line, "one of the lines \"old mode\" and \"new mode\" is missing")
	case !hasOld:
		return 0, 0, nil // the mode on an index line changes nothing
	}
	return old, now, nil
}

func (s *section) noModeChange(has bool) error {
	if has {
		return bad(s.line, "a mode change of a file that is created or deleted")
	}
	return nil
}

// checkMode refuses everything that is not a plain file, and bits that a patch has no business setting.
func checkMode(m fs.FileMode) error {
	switch m {
	case 0, regular | 0o644, regular | 0o755:
		return nil
	}
	switch m & 0o170000 {
	case 0o120000:
		return fmt.Errorf("mode %o is a symbolic link", m)
	case 0o160000:
		return fmt.Errorf("mode %o is a submodule", m)
	}
	return fmt.Errorf("mode %o is neither 100644 nor 100755", m)
}

// convert turns the library's fragments into normalised hunks.
func (s *section) convert(op Op, fragments []*gitdiff.TextFragment) ([]Hunk, error) {
	var hunks []Hunk
	end := 0
	for i, t := range fragments {
		h := Hunk{OldStart: int(t.OldPosition), Line: s.hunks[i].line}
		for _, l := range t.Lines {
			text, eol := strings.CutSuffix(l.Line, "\n")
			h.Lines = append(h.Lines, Line{Op: " -+"[l.Op], Text: text, NoEOL: !eol})
		}
		h.Lines = ordered(h.Lines)
		if err := h.checkEnds(i == len(fragments)-1); err != nil {
			return nil, bad(h.Line, "%w", err)
		}
		if h.index() < end {
			return nil, crisol.WithHint(bad(h.Line, "the hunk begins at line %d, before the change above it ends", h.OldStart),
				"hunks of a file stand in the order of its lines, and share context at most")
		}
		old, _ := h.counts()
		end = h.index() + old - h.pattern().trail
		hunks = append(hunks, h)
	}
	switch {
	case op != Create && op != Delete:
		trimCR(hunks)
	case len(hunks) > 1:
		return nil, bad(hunks[1].Line, "a second hunk of a file that is created or deleted")
	case len(hunks) == 1 && op == Create:
		hunks[0].OldStart = 0
	case len(hunks) == 1:
		hunks[0].OldStart = 1
	}
	return hunks, nil
}

// ordered puts the removed lines of each run of changes before the added ones.
func ordered(lines []Line) []Line {
	out := make([]Line, 0, len(lines))
	var added []Line
	for _, l := range lines {
		switch l.Op {
		case '+':
			added = append(added, l)
		case '-':
			out = append(out, l)
		default:
			out = append(append(out, added...), l)
			added = added[:0]
		}
	}
	return append(out, added...)
}

// checkEnds refuses a missing newline anywhere but on the last line of a side, in the last hunk of a file.
func (h Hunk) checkEnds(last bool) error {
	lastOld, lastNew := h.lastLines()
	for i, l := range h.Lines {
		if !l.NoEOL {
			continue
		}
		if !last || (l.Op != '+' && i != lastOld) || (l.Op != '-' && i != lastNew) {
			return errors.New("a line without a newline is not the last one of the file")
		}
		if l.Text == "" {
			return errors.New("an empty line without a newline is no line")
		}
	}
	return nil
}

// lastLines returns the indices of the last line on either side, -1 for none.
func (h Hunk) lastLines() (old, now int) {
	old, now = -1, -1
	for i, l := range h.Lines {
		if l.Op != '+' {
			old = i
		}
		if l.Op != '-' {
			now = i
		}
	}
	return old, now
}

// trimCR takes the carriage returns off when every line of a file has one: such a patch does not change the line
// endings, and the file it is applied to decides what they are. Where one side shows no line ending at all, nobody else
// may know them, and they stay.
func trimCR(hunks []Hunk) {
	for allCRLF(hunks) {
		for _, h := range hunks {
			for i := range h.Lines {
				h.Lines[i].Text = strings.TrimSuffix(h.Lines[i].Text, "\r")
			}
		}
	}
}

func allCRLF(hunks []Hunk) bool {
	var old, now bool
	for _, h := range hunks {
		for _, l := range h.Lines {
			if l.NoEOL {
				continue
			}
			if !strings.HasSuffix(l.Text, "\r") {
				return false
			}
			old, now = old || l.Op != '+', now || l.Op != '-'
		}
	}
	return old && now
}
