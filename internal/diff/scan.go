package diff

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"crisol"
)

// line is one line of the patch's text, without its line ending.
type line struct {
	text string
	cr   bool // a carriage return stood before the newline
}

// section is the part of a text that speaks of one file.
type section struct {
	line     int    // where it begins, counted from 1
	diff     string // what follows "diff --git "; "" in a plain diff
	old, now string // what follows "--- " and "+++ "
	named    bool   // old and now are set
	ext      map[string]string
	extLine  map[string]int
	hunks    []rawHunk
	crlf     bool // every line that is not content ended in CRLF: the whole section was converted
}

// rawHunk is a hunk whose lines have been counted, and not yet parsed.
type rawHunk struct {
	line               int
	oldStart, newStart int
	old, now           int
	body               []line
	chopped            int // blank context lines that were lost at the end of the text
}

// git says whether the section is in git's format.
func (s *section) git() bool { return s.diff != "" }

func bad(at int, format string, args ...any) error {
	return crisol.Errorf(crisol.KindInput, "parse patch: line "+strconv.Itoa(at)+": "+format, args...)
}

// split cuts the text into lines and refuses what no text patch may hold.
func split(text []byte, l Limits) ([]line, error) {
	if int64(len(text)) > l.Bytes {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "parse patch: more than %d bytes", l.Bytes),
			"send only the files that matter; a patch of generated or vendored files is too large to judge")
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "parse patch: it is empty"),
			"a patch is a unified diff: make one with `git diff` or `diff -u OLD NEW`")
	}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return nil, crisol.WithHint(bad(1+bytes.Count(text[:i], []byte("\n")), "a NUL byte"), "%s", hintBinary)
	}
	if n := bytes.Count(text, []byte("\n")); n > l.Lines {
		return nil, crisol.Errorf(crisol.KindInput, "parse patch: more than %d lines", l.Lines)
	}
	// A file saved on Windows may begin with a byte order mark.
	rest := strings.TrimPrefix(string(text), "\ufeff")
	var lines []line
	for rest != "" {
		var t string
		t, rest, _ = strings.Cut(rest, "\n")
		if len(t) > l.LineBytes {
			return nil, bad(len(lines)+1, "longer than %d bytes", l.LineBytes)
		}
		body, cr := strings.CutSuffix(t, "\r")
		lines = append(lines, line{body, cr})
	}
	return lines, nil
}

const (
	hintBinary  = "only text patches can be judged line by line; give the changed tree or another version as the fix instead"
	hintCount   = "the numbers of the hunk's header must be those of its lines: make the patch with `git diff` or `diff -u`, don't edit it by hand"
	hintContext = "make a unified diff: `diff -u` or `git diff`"
)

var (
	hunkHeader = regexp.MustCompile(`^@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@`)
	binaryNote = regexp.MustCompile(`^(?:GIT binary patch|(?:Binary files|Files) .* differ)$`)
)

// extended lists git's extended header lines.
var extended = []string{
	"old mode", "new mode", "deleted file mode", "new file mode", "copy from", "copy to", "rename from", "rename to",
	"rename old", "rename new", "similarity index", "dissimilarity index", "index",
}

// scanner walks over the lines of a text and cuts it into sections. It counts the lines of every hunk, since a removed
// line may look like any header.
type scanner struct {
	lines    []line
	pos      int
	limits   Limits
	sections []*section
	hunks    int
}

func scan(lines []line, l Limits) ([]*section, error) {
	sc := &scanner{lines: lines, limits: l}
	for sc.pos < len(sc.lines) {
		if err := sc.next(); err != nil {
			return nil, err
		}
		if len(sc.sections) > l.Files {
			return nil, bad(sc.sections[l.Files].line, "more than %d files", l.Files)
		}
	}
	return sc.sections, nil
}

func (sc *scanner) peek(ahead int) string {
	if sc.pos+ahead < len(sc.lines) {
		return sc.lines[sc.pos+ahead].text
	}
	return ""
}

// next reads one section, or skips one line of prose.
func (sc *scanner) next() error {
	text, at := sc.peek(0), sc.pos+1
	switch {
	case strings.HasPrefix(text, "diff --git "):
		return sc.gitSection()
	case strings.HasPrefix(text, "--- ") && strings.HasPrefix(sc.peek(1), "+++ "):
		s := &section{line: at, crlf: true}
		return sc.names(s)
	case strings.HasPrefix(text, "diff --cc ") || strings.HasPrefix(text, "diff --combined ") || strings.HasPrefix(text, "@@@ -"):
		return crisol.WithHint(bad(at, "a combined diff of a merge"), "make a diff against one parent: `git diff OLD NEW`")
	case strings.HasPrefix(text, "*** ") && strings.HasPrefix(sc.peek(1), "--- "):
		return crisol.WithHint(bad(at, "a context diff"), hintContext)
	case strings.HasPrefix(text, "@@ -"):
		return crisol.WithHint(bad(at, "a hunk without a file header"), "a hunk needs the lines \"--- a/PATH\" and \"+++ b/PATH\" before it")
	case binaryNote.MatchString(text):
		return crisol.WithHint(bad(at, "a binary patch"), "%s", hintBinary)
	}
	sc.pos++
	return nil
}

// structural takes one line that is not content of the file.
func (sc *scanner) structural(s *section) string {
	l := sc.lines[sc.pos]
	s.crlf = s.crlf && l.cr
	sc.pos++
	return l.text
}

func (sc *scanner) gitSection() error {
	s := &section{line: sc.pos + 1, crlf: true, ext: map[string]string{}, extLine: map[string]int{}}
	s.diff = strings.TrimPrefix(sc.structural(s), "diff --git ")
	if strings.TrimSpace(s.diff) == "" {
		return bad(s.line, "a git header without paths")
	}
	for sc.pos < len(sc.lines) {
		text, at := sc.peek(0), sc.pos+1
		key, value, ok := extendedHeader(text)
		switch {
		case ok:
			if _, twice := s.ext[key]; twice {
				return bad(at, "a second %q line for one file", key)
			}
			s.ext[key], s.extLine[key] = value, at
			sc.structural(s)
			continue
		case strings.HasPrefix(text, "--- ") && strings.HasPrefix(sc.peek(1), "+++ "):
			return sc.names(s)
		case strings.HasPrefix(text, "@@"):
			return bad(at, "a hunk without the lines \"--- PATH\" and \"+++ PATH\" before it")
		case binaryNote.MatchString(text):
			return crisol.WithHint(bad(at, "a binary patch"), "%s", hintBinary)
		case strings.HasPrefix(text, "--- ") || strings.HasPrefix(text, "+++ "):
			return bad(at, "one of the lines \"--- PATH\" and \"+++ PATH\" is missing")
		}
		break
	}
	sc.sections = append(sc.sections, s)
	return nil
}

func extendedHeader(text string) (key, value string, ok bool) {
	for _, key := range extended {
		if value, ok := strings.CutPrefix(text, key+" "); ok {
			return key, value, true
		}
	}
	return "", "", false
}

// names reads the two name lines and the hunks after them.
func (sc *scanner) names(s *section) error {
	s.old = sc.structural(s)[len("--- "):]
	s.now = sc.structural(s)[len("+++ "):]
	s.named = true
	for sc.pos < len(sc.lines) && strings.HasPrefix(sc.peek(0), "@@") {
		h, err := sc.hunk(s)
		if err != nil {
			return err
		}
		s.hunks = append(s.hunks, h)
		if sc.hunks++; sc.hunks > sc.limits.Hunks {
			return bad(h.line, "more than %d hunks", sc.limits.Hunks)
		}
	}
	switch {
	case binaryNote.MatchString(sc.peek(0)):
		return crisol.WithHint(bad(sc.pos+1, "a binary patch"), "%s", hintBinary)
	case len(s.hunks) == 0:
		return crisol.WithHint(bad(s.line, "a file header without a hunk"), "the hunks must follow right after the line \"+++ PATH\"")
	}
	sc.sections = append(sc.sections, s)
	return nil
}

func (sc *scanner) hunk(s *section) (rawHunk, error) {
	h := rawHunk{line: sc.pos + 1}
	m := hunkHeader.FindStringSubmatch(sc.peek(0))
	if m == nil {
		return h, crisol.WithHint(bad(h.line, "malformed hunk header %s", quoteShort(sc.peek(0))),
			"a hunk begins with `@@ -START,COUNT +START,COUNT @@`, with the numbers of the lines")
	}
	sc.structural(s)
	h.oldStart, h.old = number(m[1]), count(m[2])
	h.newStart, h.now = number(m[3]), count(m[4])
	if h.old == 0 && h.now == 0 {
		return h, bad(h.line, "a hunk without lines")
	}
	if h.old > 0 && h.oldStart == 0 {
		return h, bad(h.line, "the hunk replaces lines from line 0 on")
	}
	if err := sc.body(&h); err != nil {
		return h, err
	}
	return h, sc.overlong(h)
}

// number and count read what hunkHeader has matched: at most nine digits.
func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func count(s string) int {
	if s == "" {
		return 1
	}
	return number(s)
}

// body takes the lines that the hunk's header announces, and the marker of a missing newline after the last.
func (sc *scanner) body(h *rawHunk) error {
	old, now := h.old, h.now
	for old > 0 || now > 0 {
		if sc.pos == len(sc.lines) {
			// Blank context lines at the very end get lost when a text is trimmed; patch assumes as many.
			if old == now && old <= 3 && len(h.body) > 0 {
				h.chopped = old
				return nil
			}
			return crisol.WithHint(bad(sc.pos, "the patch ends within the hunk of line %d, which announces %d more old and %d more new lines", h.line, old, now), hintCount)
		}
		l := sc.lines[sc.pos]
		switch {
		case l.text == "" || l.text[0] == ' ':
			old, now = old-1, now-1
		case l.text[0] == '-':
			old--
		case l.text[0] == '+':
			now--
		case l.text[0] == '\\' && len(h.body) > 0:
		default:
			return crisol.WithHint(bad(sc.pos+1, "%s within the hunk of line %d, which announces %d more old and %d more new lines",
				quoteShort(l.text), h.line, max(old, 0), max(now, 0)), hintCount)
		}
		if old < 0 || now < 0 {
			return crisol.WithHint(bad(sc.pos+1, "the hunk of line %d announces %d old and %d new lines, and has others", h.line, h.old, h.now), hintCount)
		}
		h.body = append(h.body, l)
		sc.pos++
	}
	if strings.HasPrefix(sc.peek(0), `\`) {
		h.body = append(h.body, sc.lines[sc.pos])
		sc.pos++
	}
	return nil
}

// overlong refuses lines that belong to the hunk by their looks, and not by its header: other tools drop them in silence.
func (sc *scanner) overlong(h rawHunk) error {
	text := sc.peek(0)
	switch {
	case text == "" || strings.TrimSpace(text) == "":
		return nil
	case text == "-- " || text == "--": // the signature of git format-patch
		return nil
	case strings.HasPrefix(text, "--- ") && strings.HasPrefix(sc.peek(1), "+++ "):
		return nil
	case strings.ContainsRune(`+- \`, rune(text[0])):
		return crisol.WithHint(bad(sc.pos+1, "a line too many for the hunk of line %d, which announces %d old and %d new lines", h.line, h.old, h.now), hintCount)
	}
	return nil
}

// quoteShort quotes s for a message, cut to a length that fits a line.
func quoteShort(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
