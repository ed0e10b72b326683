package features

import "crisol/internal/syntax"

// strange counts names that are used for the first time and that nothing at hand defines: functions that are called by
// their name alone in languages whose files share names, members of the own object, and, in Go, members that only the
// own package can see. A name that stood in any touched file before is no stranger.
func (c *Reading) strange() int {
	seen := map[string]bool{}
	for _, f := range c.files {
		for i, changed := range f.after.changed {
			if changed && f.after.isForeign(i) {
				seen[string(f.after.text(f.after.tokens[i]))] = true
			}
		}
	}
	if len(seen) == 0 {
		return 0
	}
	for _, f := range c.files {
		for _, t := range f.before.full {
			if t.Kind == syntax.Word {
				delete(seen, string(t.Of(f.before.fullSrc)))
			}
		}
		for i, changed := range f.after.changed {
			if name := string(f.after.text(f.after.tokens[i])); changed && seen[name] && f.after.introduces(i) {
				delete(seen, name)
			}
		}
	}
	return len(seen)
}

// isForeign says whether the word at i has to be defined in the same package or class.
func (s *side) isForeign(i int) bool {
	t := s.tokens[i]
	if t.Kind != syntax.Word || !isName(s.text(t)) {
		return false
	}
	prev, next := s.near(i, -1), s.near(i, 1)
	switch s.lang {
	case syntax.Go, syntax.Java, syntax.PlainC, syntax.Rust:
		if next == "(" && !qualified[prev] && !outside[s.near(i, 0)] && !s.introduces(i) && (s.lang != syntax.Rust || 'a' <= s.text(t)[0] && s.text(t)[0] <= 'z') {
			return s.lang != syntax.PlainC || 'a' <= s.text(t)[0] && s.text(t)[0] <= 'z' && prev != "*"
		}
	}
	if prev != "." {
		return false
	}
	switch s.near(i, -2) {
	case "this", "self":
		return next == "(" || next != "=" && s.lang != syntax.Python && !isScript(s.lang)
	}
	return s.lang == syntax.Go && s.text(t)[0] >= 'a' && s.text(t)[0] <= 'z' && s.near(i, -3) != "/"
}

// qualified are the tokens after which a name is a part of something else, or is being defined.
var qualified = set(". :: -> ?. @ # func fn def function class struct interface enum record type impl trait macro_rules define")

// notTypes are words before a name that are no type, so that what follows is used and not declared.
var notTypes = set("return new else throw in case not and or await yield typeof instanceof do go defer if while for switch match as range unsafe mut ref sizeof assert is")

// introduces says whether the word at i looks defined where it stands.
func (s *side) introduces(i int) bool {
	prev, next := s.near(i, -1), s.near(i, 1)
	switch prev {
	case "func", "fn", "function", "def", "class", "struct", "interface", "enum", "record", "type", "const", "let", "var", "static", "define", "union", "typedef", "import", "mut", "async", "get", "set":
		return true
	}
	if next == "=" || next == ":=" || next == ":" && s.lang != syntax.Go {
		return true
	}
	word := i > 0 && s.tokens[i-1].Kind == syntax.Word
	switch s.lang {
	case syntax.Java, syntax.PlainC:
		return word && !notTypes[prev] || prev == ">" || prev == "]" || prev == "*" && next == "("
	case syntax.Go:
		if prev == ")" && next == "(" { // func (r *T) name(
			for at := i - 2; at > i-12 && at >= 0; at-- {
				if s.near(at, 0) == "func" {
					return true
				}
			}
		}
		start := s.first(int(s.tokens[i].Start))
		after := i+1 < len(s.tokens) && (s.tokens[i+1].Kind == syntax.Word || next == "[" || next == "*" || next == "func" || next == "(")
		return start && after && next != "(" || start && next == "(" && prev != ")" && s.near(i, -1) == "{" && s.interfaceAt(i)
	}
	if isScript(s.lang) {
		return next == "(" && prev != "." && s.definesMethod(i)
	}
	return false
}

// interfaceAt says whether the brace before i opens an interface.
func (s *side) interfaceAt(i int) bool { return s.near(i, -2) == "interface" }
