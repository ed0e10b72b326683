package diff

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"crisol"
)

// explain says where a hunk does not apply: what it wants there and what the file has.
func (e *edit) explain(f File, i int, cause error) error {
	h := f.Hunks[i]
	where := fmt.Sprintf("%s: hunk %d", f.Path(), i+1)
	if h.Line > 0 {
		where += fmt.Sprintf(" (line %d of the patch)", h.Line)
	}
	if !errors.Is(cause, errNowhere) {
		return crisol.Errorf(crisol.KindInput, "%s: %w", where, cause)
	}
	at, want, found := e.mismatch(h)
	err := crisol.Errorf(crisol.KindInput, "%s does not apply at line %d: want %s, found %s", where, at+1, want, found)
	return crisol.WithHint(err, "%s", e.hint(h, want, found))
}

// mismatch returns the first line that differs where the hunk says it belongs.
func (e *edit) mismatch(h Hunk) (at int, want, found string) {
	at = h.index() + e.drift
	for _, l := range h.pattern().old {
		found = "the end of the file"
		if at >= e.text.len() {
			return at, quoteShort(l.Text), found
		}
		if !e.same(l, at, true) {
			have, _ := e.text.line(at)
			return at, quoteShort(l.Text), quoteShort(have)
		}
		at++
	}
	if at > e.text.len() {
		return at, "a line to insert after", "the end of the file"
	}
	// All lines are there, so it must be what follows them that doesn't fit: a last line that is not the last.
	have, _ := e.text.line(at)
	return at, "the end of the file", quoteShort(have)
}

func (e *edit) hint(h Hunk, want, found string) string {
	back := reverseHunk(h, 0)
	undo := placer{text: e.text, frozen: e.frozen, drift: e.drift, left: e.left}
	guess := back.index() + e.drift
	if at, _, err := undo.place(back); err == nil && at == guess && len(back.pattern().old) > 0 {
		return "the target already has this change"
	}
	bare := func(s string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) {
				return -1
			}
			return r
		}, strings.ReplaceAll(s, `\t`, " "))
	}
	if bare(want) == bare(found) {
		return "the lines differ in white space only: keep tabs and blanks as the target has them"
	}
	return "context must match the target exactly: make the patch against the target's own version"
}
