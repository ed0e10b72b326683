package scenario

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// String says in words when the oracle holds.
func (o *Oracle) String() string {
	if o == nil {
		return ""
	}
	var parts []string
	say := func(is bool, format string, args ...any) {
		if is {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	if o.Exit != nil {
		say(true, "exit %d", *o.Exit)
	}
	say(o.Stdout != nil, "stdout %s", o.Stdout)
	say(o.Stderr != nil, "stderr %s", o.Stderr)
	say(o.File != nil, "%s", o.File)
	say(o.HTTP != nil, "%s", o.HTTP)
	say(o.Slow != nil, "%s", o.Slow)
	say(o.Crash != nil, "%s", o.Crash)
	if o.Callback != nil {
		words := "the listener is hit"
		if *o.Callback != (Text{}) {
			words = "the listener's request " + o.Callback.String()
		}
		say(true, "%s", words)
	}
	say(o.SQL != nil, "%s", o.SQL)
	say(len(o.All) > 0, "%s", together(o.All, " and "))
	say(len(o.Any) > 0, "%s", together(o.Any, " or "))
	say(o.Not != nil, "not (%s)", o.Not)
	return strings.Join(parts, " and ")
}

func together(list []Oracle, word string) string {
	parts := make([]string, len(list))
	for i := range list {
		parts[i] = list[i].String()
	}
	return "(" + strings.Join(parts, word) + ")"
}

// String says in words what is wanted of the text.
func (t *Text) String() string {
	if t == nil {
		return ""
	}
	var parts []string
	if t.Contains != "" {
		parts = append(parts, "contains "+strconv.Quote(t.Contains))
	}
	if t.Matches != "" {
		parts = append(parts, "matches "+pattern(t.Matches))
	}
	return strings.Join(parts, " and ")
}

// pattern renders a regular expression between slashes.
func pattern(s string) string {
	q := strconv.Quote(s)
	return "/" + strings.ReplaceAll(q[1:len(q)-1], `\\`, `\`) + "/"
}

// String says in words what is wanted of the file.
func (f *File) String() string {
	if f == nil {
		return ""
	}
	parts := []string{}
	if f.Exists {
		parts = append(parts, "exists")
	}
	if f.Absent {
		parts = append(parts, "is absent")
	}
	if f.Contains != "" {
		parts = append(parts, "contains "+strconv.Quote(f.Contains))
	}
	if f.SHA256 != "" {
		parts = append(parts, "has SHA-256 "+f.SHA256)
	}
	return "file " + shellWord(f.Path) + " " + strings.Join(parts, " and ")
}

// String says in words what is asked and which answer is wanted.
func (h *HTTP) String() string {
	if h == nil {
		return ""
	}
	var parts []string
	if h.Status != 0 {
		parts = append(parts, "status "+strconv.Itoa(h.Status))
	}
	for _, name := range slices.Sorted(maps.Keys(h.Header)) {
		parts = append(parts, "header "+name+" matches "+pattern(h.Header[name]))
	}
	if h.Matches != "" {
		parts = append(parts, "the body matches "+pattern(h.Matches))
	}
	if h.Lacks != "" {
		parts = append(parts, "the body doesn't match "+pattern(h.Lacks))
	}
	return h.Method + " " + h.URL + " answers: " + strings.Join(parts, " and ")
}

// String says in words how slow is meant.
func (s *Slow) String() string {
	if s == nil {
		return ""
	}
	sizes := make([]string, len(s.Sizes))
	for i, size := range s.Sizes {
		sizes[i] = strconv.Itoa(size)
	}
	return fmt.Sprintf("CPU time at least %s times a harmless input's, and growing, at sizes %s", strconv.FormatFloat(s.Factor, 'g', -1, 64), strings.Join(sizes, ", "))
}

// String says in words which crash is meant.
func (c *Crash) String() string {
	if c == nil {
		return ""
	}
	words := "the process crashes"
	if c.Signal != "" {
		words += " with " + c.Signal
	}
	if c.Sanitizer != "" {
		words += ", reported as " + c.Sanitizer
	}
	if len(c.Frames) > 0 {
		words += ", in " + strings.Join(c.Frames, " from ")
	}
	return words
}

// String says in words what is asked of the database.
func (s *SQL) String() string {
	if s == nil {
		return ""
	}
	return "in " + shellWord(s.File) + " " + strconv.Quote(s.Query) + " gives " + strconv.Quote(s.Equal)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// CommandLine renders an argv as a shell would take it; what can't be shown on one line is escaped.
func CommandLine(args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = shellWord(arg)
	}
	return strings.Join(words, " ")
}

func shellWord(s string) string {
	switch {
	case plainWord.MatchString(s):
		return s
	case strings.ContainsFunc(s, invisible):
		q := strconv.QuoteToGraphic(s)
		return "$'" + strings.ReplaceAll(q[1:len(q)-1], "'", `\'`) + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
