package diff

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

const devNull = "/dev/null"

// name is one side of a section's header.
type name struct {
	path  string // as written; "" for /dev/null
	epoch bool   // the timestamp is the Unix epoch, by which GNU diff marks a file that is not there
}

var (
	// Timestamps and revisions that stand after a blank rather than a tab.
	looseStamp = regexp.MustCompile(`^(.+?)[ ]+(?:\d{4}-\d\d-\d\d[ T]\d\d:\d\d.*|\((?:revision \d+|working copy|nonexistent)\))$`)
	epochZone  = regexp.MustCompile(`^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) ([+-]\d\d):?(\d\d)$`)
)

// parseName reads what stands after "--- " or "+++ ".
func parseName(s string) (name, error) {
	var path, rest string
	if strings.HasPrefix(s, `"`) {
		var err error
		if path, rest, err = unquote(s); err != nil {
			return name{}, err
		}
	} else {
		var tabbed bool
		if path, rest, tabbed = strings.Cut(s, "\t"); !tabbed {
			if m := looseStamp.FindStringSubmatch(s); m != nil {
				path, rest = m[1], s[len(m[1]):]
			}
		}
	}
	rest = strings.TrimSpace(rest)
	if path == devNull {
		return name{}, nil
	}
	if path == "" {
		return name{}, errors.New("the path is empty")
	}
	return name{path: strings.TrimPrefix(path, "./"), epoch: isEpoch(rest) || rest == "(nonexistent)"}, nil
}

func isEpoch(stamp string) bool {
	m := epochZone.FindStringSubmatch(stamp)
	if m == nil {
		return false
	}
	t, err := time.Parse("2006-01-02 15:04:05.999999999 -0700", m[1]+" "+m[2]+m[3])
	return err == nil && t.Equal(time.Unix(0, 0))
}

// unquote reads a path in git's C-style quotes at the start of s and returns what stands after it.
func unquote(s string) (path, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			var n int
			if c, n = unescape(s[i+1:]); n == 0 {
				return "", "", errors.New("a bad escape in a quoted path")
			}
			b.WriteByte(c)
			i += n
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("a quoted path without its closing quote")
}

// unescape reads what follows a backslash; n is how many bytes that was, 0 for no escape of git's.
func unescape(s string) (c byte, n int) {
	if s == "" {
		return 0, 0
	}
	if i := strings.IndexByte(`abtnvfr"\`, s[0]); i >= 0 {
		return "\a\b\t\n\v\f\r\"\\"[i], 1
	}
	if len(s) < 3 || s[0] > '3' {
		return 0, 0
	}
	var v int
	for i := range 3 {
		if s[i] < '0' || s[i] > '7' {
			return 0, 0
		}
		v = v<<3 | int(s[i]-'0')
	}
	return byte(v), 3
}

// quote renders a jailed path so that any reader takes it as it is.
func quote(path string) string { return `"` + strings.ReplaceAll(path, `"`, `\"`) + `"` }

// gitPrefixes are the pairs that git puts before paths, with diff.mnemonicPrefix too.
const gitPrefixes = "ab iw cw ci ow 12 ba wi wc ic wo 21"

// cutFirst cuts the first directory off a path.
func cutFirst(path string) (first, rest string) {
	first, rest, ok := strings.Cut(path, "/")
	if !ok {
		return "", path
	}
	return first, rest
}

// stripPair returns the pair without the prefixes that tell old from new, and whether there were any. In a plain diff
// any two directories may be the old and the new tree (diff -ru lodash-4.17.11 lodash-4.17.12).
func stripPair(old, now string, git bool) (o, n string, stripped bool) {
	first1, rest1 := cutFirst(old)
	first2, rest2 := cutFirst(now)
	if first1 == "" || first2 == "" || first1 == first2 {
		return old, now, false
	}
	if isPrefixPair(first1, first2) || (!git && rest1 == rest2) {
		return rest1, rest2, true
	}
	return old, now, false
}

func isPrefixPair(a, b string) bool {
	return len(a) == 1 && len(b) == 1 && strings.Contains(gitPrefixes, a+b)
}

// splitGit reads the pair of a "diff --git" line. Paths with blanks and no quotes are ambiguous: only a split that
// gives twice the same path is taken.
func splitGit(s string) (old, now string, ok bool) {
	if strings.ContainsRune(s, '"') {
		return splitQuoted(s)
	}
	if strings.Count(s, " ") == 1 {
		old, now, _ = strings.Cut(s, " ")
		return old, now, true
	}
	// Prefixes are equally long, and so are the two paths.
	if half := len(s) / 2; len(s)%2 == 1 && s[half] == ' ' {
		if o, n, _ := stripPair(s[:half], s[half+1:], true); o == n {
			return s[:half], s[half+1:], true
		}
	}
	return "", "", false
}

func splitQuoted(s string) (old, now string, ok bool) {
	var err error
	if !strings.HasPrefix(s, `"`) {
		old, s, ok = strings.Cut(s, ` "`)
		if !ok {
			return "", "", false
		}
		now, s, err = unquote(`"` + s)
		return old, now, err == nil && s == ""
	}
	if old, s, err = unquote(s); err != nil || !strings.HasPrefix(s, " ") {
		return "", "", false
	}
	s = s[1:]
	if !strings.HasPrefix(s, `"`) {
		return old, s, s != ""
	}
	now, s, err = unquote(s)
	return old, now, err == nil && s == ""
}

// prefixless says whether some header of the patch shows that its paths carry no prefixes.
func prefixless(sections []*section) bool {
	for _, s := range sections {
		old, now, ok := s.written()
		if !ok || old == "" || now == "" {
			continue
		}
		if _, _, stripped := stripPair(old, now, s.git()); !stripped && old == now {
			return true
		}
	}
	return false
}

// written returns both names as the header writes them, where it has them in one place.
func (s *section) written() (old, now string, ok bool) {
	if s.named {
		o, err1 := parseName(s.old)
		n, err2 := parseName(s.now)
		if err1 != nil || err2 != nil {
			return "", "", false
		}
		if !s.git() || (o.path != "" && n.path != "") {
			return o.path, n.path, true
		}
	}
	return splitGit(s.diff)
}

// paths decides which paths the section speaks of and what it does to them. bare: no path of the patch has a prefix.
func (s *section) paths(bare bool) (old, now string, op Op, err error) {
	if !s.git() {
		return s.plainPaths(bare)
	}
	for _, p := range []struct {
		op       Op
		from, to string
	}{{Rename, "rename from", "rename to"}, {Rename, "rename old", "rename new"}, {Copy, "copy from", "copy to"}} {
		from, hasFrom := s.ext[p.from]
		to, hasTo := s.ext[p.to]
		if hasFrom != hasTo {
			return "", "", "", fmt.Errorf("one of the lines %q and %q is missing", p.from, p.to)
		}
		if hasFrom {
			return s.movedPaths(p.op, from, to)
		}
	}
	return s.gitPaths(bare)
}

// movedPaths takes the paths of a rename or copy from its own lines, which have no prefix, and holds them against "---"
// and "+++".
func (s *section) movedPaths(op Op, from, to string) (string, string, Op, error) {
	var err error
	paths := []string{from, to}
	for i, p := range paths {
		if strings.HasPrefix(p, `"`) {
			if paths[i], _, err = unquote(p); err != nil {
				return "", "", "", err
			}
		}
	}
	old, now := paths[0], paths[1]
	if s.named {
		o, err1 := parseName(s.old)
		n, err2 := parseName(s.now)
		so, sn, _ := stripPair(o.path, n.path, true)
		if err1 != nil || err2 != nil || ((so != old || sn != now) && (o.path != old || n.path != now)) {
			return "", "", "", fmt.Errorf("the header names %s and %s, the %s is of %s to %s", s.old, s.now, op, old, now)
		}
	}
	if old == now {
		return "", "", "", fmt.Errorf("a %s of %s to itself", op, old)
	}
	return old, now, op, nil
}

// gitPaths takes the paths from the "diff --git" line and from "---" and "+++", which must agree.
func (s *section) gitPaths(bare bool) (old, now string, op Op, err error) {
	do, dn, haveDiff := splitGit(s.diff)
	if haveDiff {
		do, dn, _ = stripPair(do, dn, true)
		if do != dn {
			return "", "", "", fmt.Errorf("%s and %s differ without a rename or copy", do, dn)
		}
	}
	_, creates := s.ext["new file mode"]
	_, deletes := s.ext["deleted file mode"]
	path := do
	if s.named {
		o, err1 := parseName(s.old)
		n, err2 := parseName(s.now)
		if err := errors.Join(err1, err2); err != nil {
			return "", "", "", err
		}
		creates, deletes = creates || o.path == "", deletes || n.path == ""
		if creates && o.path != "" || deletes && n.path != "" {
			return "", "", "", fmt.Errorf("the header says that the file is created or deleted, and names it on both sides")
		}
		if path, err = s.agreed(o.path, n.path, bare, haveDiff, do); err != nil {
			return "", "", "", err
		}
	} else if !haveDiff {
		return "", "", "", fmt.Errorf("can't tell the two paths of %q apart", s.diff)
	}
	return assign(path, creates, deletes)
}

// agreed returns the one path that "---", "+++" and the "diff --git" line name.
func (s *section) agreed(old, now string, bare, haveDiff bool, diff string) (string, error) {
	var path string
	switch {
	case old != "" && now != "":
		o, n, _ := stripPair(old, now, true)
		if o != n {
			return "", fmt.Errorf("%s and %s differ without a rename or copy", o, n)
		}
		path = o
	case haveDiff:
		// The pair of the first line tells whether there are prefixes; the one name must be it, with or without.
		path = old + now
		if _, rest := cutFirst(path); rest == diff {
			path = diff
		}
	default:
		path = stripOne(old+now, bare)
	}
	if haveDiff && path != diff {
		return "", fmt.Errorf("the header names both %s and %s", diff, path)
	}
	return path, nil
}

// stripOne strips the prefix of a name that stands alone, /dev/null being the other.
func stripOne(path string, bare bool) string {
	if first, rest := cutFirst(path); !bare && (first == "a" || first == "b") {
		return rest
	}
	return path
}

func assign(path string, creates, deletes bool) (old, now string, op Op, err error) {
	switch {
	case creates && deletes:
		return "", "", "", errors.New("the file is both created and deleted")
	case creates:
		return "", path, Create, nil
	case deletes:
		return path, "", Delete, nil
	}
	return path, path, Modify, nil
}

// plainPaths takes the paths of a diff that only has "---" and "+++". Such a diff can't rename: two names that differ
// by more than their first directory must be a file and its backup.
func (s *section) plainPaths(bare bool) (old, now string, op Op, err error) {
	o, err1 := parseName(s.old)
	n, err2 := parseName(s.now)
	if err := errors.Join(err1, err2); err != nil {
		return "", "", "", err
	}
	// A file may have the epoch as its real time: only a side without lines is a file that is not there.
	creates := o.path == "" || o.epoch && s.none(func(h rawHunk) int { return h.old })
	deletes := n.path == "" || n.epoch && s.none(func(h rawHunk) int { return h.now })
	if o.path == "" || n.path == "" {
		return assign(stripOne(o.path+n.path, bare), creates, deletes)
	}
	so, sn, _ := stripPair(o.path, n.path, false)
	switch {
	case so == sn || isBackup(sn, so):
		return assign(so, creates, deletes)
	case isBackup(so, sn):
		return assign(sn, creates, deletes)
	}
	return "", "", "", fmt.Errorf("can't tell which file is meant, %s or %s", so, sn)
}

func (s *section) none(lines func(rawHunk) int) bool {
	for _, h := range s.hunks {
		if lines(h) > 0 {
			return false
		}
	}
	return true
}

// isBackup says whether other is path with the suffix of a backup or of a proposed version.
func isBackup(other, path string) bool {
	suffix, ok := strings.CutPrefix(other, path)
	switch suffix {
	case ".orig", ".old", ".bak", ".new", ".fixed", ".patched", "~":
		return ok
	}
	return false
}
