package ambiguity

// Matcher searches texts for an expression, as backtracking engines do, and counts its steps.
type Matcher struct{ prog *program }

// Matcher makes the expression ready to search texts.
func (e *Expr) Matcher() Matcher { return Matcher{compile(e)} }

// Find says whether the expression matches anywhere in text. It is not ok if that takes more than limit steps.
func (m Matcher) Find(text string, limit int) (found, ok bool) {
	found, _, over := m.prog.run([]rune(text), limit)
	return found, !over
}
