package report

import (
	"fmt"
	"strings"
)

// Markdown renders the report's tables, with headings from the given level on.
func Markdown(r Report, level int) string {
	var b strings.Builder
	heading := func(deeper int, text string) {
		fmt.Fprintf(&b, "%s %s\n\n", strings.Repeat("#", level+deeper), text)
	}
	heading(0, escape(r.Title))
	for _, f := range r.Facts {
		fmt.Fprintf(&b, "- %s: %s\n", escape(f.Name), escape(f.Value))
	}
	if len(r.Facts) > 0 {
		b.WriteString("\n")
	}
	if len(r.Checks) > 0 {
		t := checkTable(r.Checks)
		heading(1, t.Title)
		b.WriteString(t.markdown())
	}
	for _, s := range r.Splits {
		heading(1, escape(s.Name))
		fmt.Fprintf(&b, "%s %s\n\n", escape(s.About), size(s.Result))
		for _, t := range tables(s) {
			heading(2, escape(t.Title))
			if t.Note != "" {
				b.WriteString(t.Note + "\n\n")
			}
			b.WriteString(t.markdown())
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func (t table) markdown() string {
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("|")
		for _, c := range cells {
			b.WriteString(" " + escape(c) + " |")
		}
		b.WriteString("\n")
	}
	line(t.Head)
	b.WriteString(strings.Repeat("|---", len(t.Head)) + "|\n")
	for _, row := range t.Rows {
		line(row)
	}
	return b.String() + "\n"
}

var escaper = strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`, "\n", " ", "\r", " ")

// escape keeps names from being taken for markup.
func escape(text string) string { return escaper.Replace(text) }
