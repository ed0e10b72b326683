package scenario

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a scenario, and where.
type Problem struct {
	File    string `json:"file"` // the manifest, or the file beside it that is to blame
	Line    int    `json:"line"` // from 1; 0 where the file as a whole is meant
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	// Nearest is what was probably meant: a key, a value or a file; "" where nothing comes near.
	Nearest string `json:"nearest,omitempty"`
}

// String renders `scenario.yaml:14: unknown key "oracel": did you mean "oracle"?`.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": " + p.Message)
	if p.Nearest != "" {
		fmt.Fprintf(&b, ": did you mean %q?", p.Nearest)
	}
	return b.String()
}

// Problems is all that is wrong with a scenario, in the order of the lines.
type Problems []Problem //nolint:errname // it is a list that happens to be told as one error

// shown bounds how many problems an error spells out.
const shown = 40

// Error renders one problem a line.
func (p Problems) Error() string {
	lines := make([]string, 0, min(len(p), shown)+1)
	for _, problem := range p[:min(len(p), shown)] {
		lines = append(lines, problem.String())
	}
	if len(p) > shown {
		lines = append(lines, fmt.Sprintf("and %d more problems", len(p)-shown))
	}
	return strings.Join(lines, "\n")
}

// nearest returns the choice with the least edit distance to word, or "" where none is near enough to be meant.
func nearest(word string, choices []string) string {
	const longest = 200 // beyond, nobody mistyped a word
	if len(word) > longest {
		return ""
	}
	best, least := "", max(1, len(word)/3)+1
	for _, choice := range choices {
		if len(choice) > longest {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(choice)); d < least {
			best, least = choice, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string
// alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// quote renders a value for an error message; a long one is cut.
func quote(s string) string {
	const longest = 80
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "..."
	}
	return fmt.Sprintf("%q", s)
}
