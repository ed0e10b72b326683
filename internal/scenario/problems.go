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

// quote renders a value for an error message; a long one is cut.
func quote(s string) string {
	const longest = 80
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "..."
	}
	return fmt.Sprintf("%q", s)
}
