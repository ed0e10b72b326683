package corpus

import (
	"fmt"
	"slices"
	"strings"

	"crisol/internal/diff"
)

// edit replaces lines of one file. A file that didn't exist is one edit at its start.
type edit struct {
	path    string
	at      int // the first line, from 0, that is replaced
	removed int
	added   []string // with their newlines
	newAt   int      // where the added lines begin in the text after
	created bool
	hunk    int // the hunk of the whole diff that it belongs to
}

// place names where the edit is, for notes.
func (e edit) place() string { return fmt.Sprintf("%s:%d", e.path, e.at+1) }

// editsBetween lists the edits that turn one state into another, by path and place. What after doesn't have stays.
func editsBetween(before, after sources) (edits []edit) {
	was := sources{}
	for name := range after {
		if text, ok := before[name]; ok {
			was[name] = text
		}
	}
	hunks := 0
	for _, f := range diff.Between(was, after).Files {
		drift := 0
		for _, h := range f.Hunks {
			hunks++
			start := h.OldStart - 1
			if !slices.ContainsFunc(h.Lines, func(l diff.Line) bool { return l.Op != '+' }) {
				start++
			}
			var found []edit
			found, drift = hunkEdits(h, start, drift)
			for _, e := range found {
				e.path, e.created, e.hunk = f.Path(), f.Op == diff.Create, hunks-1
				edits = append(edits, e)
			}
		}
	}
	return edits
}

// hunkEdits cuts a hunk into its runs of changed lines. drift is by how much the text after has grown before it.
func hunkEdits(h diff.Hunk, at, drift int) (edits []edit, grown int) {
	var open *edit
	for _, l := range h.Lines {
		if l.Op == ' ' {
			at++
			open = nil
			continue
		}
		if open == nil {
			edits = append(edits, edit{at: at, newAt: at + drift})
			open = &edits[len(edits)-1]
		}
		if l.Op == '-' {
			open.removed++
			at++
			drift--
			continue
		}
		text := l.Text
		if !l.NoEOL {
			text += "\n"
		}
		open.added = append(open.added, text)
		drift++
	}
	return edits, drift
}

// apply makes some of the edits between two states; they are in their order. It returns the touched files.
func apply(before sources, edits []edit) sources {
	out := sources{}
	for i := 0; i < len(edits); {
		j := i
		for j < len(edits) && edits[j].path == edits[i].path {
			j++
		}
		out[edits[i].path] = applyTo(before[edits[i].path], edits[i:j])
		i = j
	}
	return out
}

func applyTo(text string, edits []edit) string {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(strings.Join(lines[at:e.at], ""))
		b.WriteString(strings.Join(e.added, ""))
		at = e.at + e.removed
	}
	b.WriteString(strings.Join(lines[at:], ""))
	return b.String()
}

// addedLines lists, for each path, the lines of after that before doesn't have, from 0.
func addedLines(before, after sources) map[string][]int {
	lines := map[string][]int{}
	for _, e := range editsBetween(before, after) {
		for i := range e.added {
			lines[e.path] = append(lines[e.path], e.newAt+i)
		}
		if len(e.added) == 0 {
			lines[e.path] = append(lines[e.path], e.newAt)
		}
	}
	return lines
}
