package features

import (
	"bytes"

	"crisol/internal/syntax"
)

// guard is a condition that decides whether code runs.
type guard struct {
	node, start, end int
	condition        int
	vars             names
	fresh            bool // a token of the condition is new
	// The bytes that run only when the condition is true, and only when it is false; empty ones are {0, 0}.
	whenTrue, whenFalse span
	// leaves is set when the guard's body ends the function or the turn of a loop: what follows in the block around it runs
	// only when the condition is false.
	leaves bool
	around span // that block
	idle   bool // its body does nothing
	known  bool // whether a true condition is good or bad is known only where it is false
}

// decides says for which value of the condition the bytes of a sink run, if it decides that at all.
func (g guard) decides(start, end int) (value, decides bool) {
	switch {
	case g.whenTrue.start <= start && end <= g.whenTrue.end:
		return true, true
	case g.whenFalse.start <= start && end <= g.whenFalse.end:
		return false, true
	case g.leaves && start >= g.end && g.around.start <= start && end <= g.around.end:
		return false, true
	}
	return false, false
}

// guardOf is the guard that an if, a ternary or a loop is.
func (r *reader) guardOf(i int) []guard {
	condition := r.tree.Child(i, syntax.FieldCondition)
	role := r.tree.Nodes[i].Role
	if condition < 0 && role == syntax.Ternary && r.lang == syntax.Python { // a if b else c
		if children := r.tree.NamedChildren(i); len(children) == 3 {
			g := r.newGuard(i, children[1])
			g.whenTrue, g.whenFalse = r.spanOf(children[0]), r.spanOf(children[2])
			return []guard{g}
		}
	}
	if condition < 0 {
		return nil
	}
	g := r.newGuard(i, condition)
	body := r.tree.Child(i, syntax.FieldConsequence, syntax.FieldBody)
	other := r.tree.Child(i, syntax.FieldAlternative)
	if body >= 0 {
		g.whenTrue = r.spanOf(body)
		g.idle = role == syntax.If && r.isIdle(body)
	}
	if other >= 0 {
		g.whenFalse = r.spanOf(other)
	}
	if role == syntax.If && body >= 0 && other < 0 && r.leaves(body) {
		g.leaves, g.around = true, r.blockAround(i)
	}
	return []guard{g}
}

func (r *reader) newGuard(i, condition int) guard {
	n := r.tree.Nodes[i]
	return guard{node: i, start: int(n.Start), end: int(n.End), condition: condition, vars: r.identifiers(condition), fresh: r.isTouched(condition) || r.isNew(i)}
}

func (r *reader) spanOf(i int) span {
	return span{int(r.tree.Nodes[i].Start), int(r.tree.Nodes[i].End)}
}

// blockAround is the block that a node is a statement of.
func (r *reader) blockAround(i int) span {
	if block := r.tree.Ancestor(int(r.tree.Nodes[i].Parent), syntax.Block, syntax.Function, syntax.Case); block >= 0 {
		return r.spanOf(block)
	}
	return r.spanOf(0)
}

// isIdle says whether a body has no statement, or empty ones alone.
func (r *reader) isIdle(i int) bool {
	for _, t := range r.tokens[r.from(int(r.tree.Nodes[i].Start)):r.from(int(r.tree.Nodes[i].End))] {
		switch string(r.text(t)) {
		case "{", "}", ";", "pass":
		default:
			return false
		}
	}
	return true
}

// logic is the guard that a && b, a || b are for what stands in b.
func (r *reader) logic(i int) []guard {
	and, ok := r.connective(i)
	if !ok {
		return nil
	}
	children := r.tree.NamedChildren(i)
	if len(children) != 2 {
		return nil
	}
	g := r.newGuard(i, children[0])
	if and {
		g.whenTrue = r.spanOf(children[1])
	} else {
		g.whenFalse = r.spanOf(children[1])
	}
	return []guard{g}
}

// connective says whether a binary expression is an and, or an or; not ok for any other.
func (r *reader) connective(i int) (and, ok bool) {
	switch r.operator(i) {
	case "&&", "and":
		return true, true
	case "||", "or":
		return false, true
	}
	return false, false
}

// operator is the operator between the two sides of a binary expression.
func (r *reader) operator(i int) string {
	if r.tree.Nodes[i].Role != syntax.Binary {
		return ""
	}
	for child := r.tree.FirstChild(i); child >= 0; child = r.tree.NextSibling(child) {
		if n := r.tree.Nodes[child]; n.Flags&syntax.Named == 0 && n.End-n.Start <= 10 {
			return r.tree.Text(child)
		}
	}
	return ""
}

// assertion is the guard that a call of a checking function is, when it is a statement: what follows runs only if it
// returns.
func (r *reader) assertion(i int) []guard {
	parent := int(r.tree.Nodes[i].Parent)
	if parent < 0 || r.tree.Nodes[parent].Role != syntax.Statement {
		return nil
	}
	call := r.tree.Invocation(i)
	s := r.thesaurus.of([]byte(call.Name))
	if s&(isPermission|isDenial) == 0 && call.Name != "assert" && call.Name != "invariant" && call.Name != "validate" || s&isLog != 0 {
		return nil
	}
	g := r.newGuard(i, i)
	g.fresh = r.calleeChanged(i)
	g.leaves, g.around, g.known = true, r.blockAround(parent), true
	return []guard{g}
}

// leaves says whether a statement always ends the function, the loop's turn or the program.
func (r *reader) leaves(i int) bool {
	for steps := 0; steps < 8; steps++ {
		switch r.tree.Nodes[i].Role {
		case syntax.Return, syntax.Throw, syntax.Jump:
			return true
		case syntax.Call:
			s := r.tree.Invocation(i)
			return s.Name == "exit" || s.Name == "abort" || s.Name == "reject" || s.Name == "next" || s.Name == "panic" || s.Name == "die" || s.Name == "end" || s.Name == "fail"
		}
		children := r.tree.NamedChildren(i)
		if len(children) == 0 {
			return false
		}
		i = children[len(children)-1]
	}
	return false
}

// polarity says what the tests in a condition ask for.
type polarity struct {
	deny, allow  int  // tests for what is bad, and for what is good
	right, wrong int  // of those, how many let the code run for the good and not for the bad
	literal      int  // comparisons with a constant of no known danger
	absurd       bool // no value, or every value, passes
}

// test is a part of a condition and the value for which the code runs.
type test struct {
	node int
	want bool
}

// weigh reads a condition; want is the value for which the guarded code runs.
func (r *reader) weigh(condition int, want bool) polarity {
	var p polarity
	stack := []test{{condition, want}}
	for steps := 0; len(stack) > 0 && steps < 64; steps++ {
		t := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		n := r.tree.Nodes[t.node]
		switch {
		case n.Role == syntax.Parenthesized:
			for _, child := range r.tree.NamedChildren(t.node) {
				stack = append(stack, test{child, t.want})
			}
		case n.Role == syntax.Unary && r.negates(t.node):
			if children := r.tree.NamedChildren(t.node); len(children) > 0 {
				stack = append(stack, test{children[len(children)-1], !t.want})
			}
		case n.Role == syntax.Literal:
		default:
			if and, ok := r.connective(t.node); ok {
				p.absurd = p.absurd || r.absurd(t.node, and)
				for _, child := range r.tree.NamedChildren(t.node) {
					stack = append(stack, test{child, t.want})
				}
				continue
			}
			r.weighTest(&p, t)
		}
	}
	return p
}

func (r *reader) negates(i int) bool {
	first := r.tree.FirstChild(i)
	return first >= 0 && (r.src[r.tree.Nodes[first].Start] == '!' || string(r.tree.Bytes(first)) == "not")
}

func (r *reader) weighTest(p *polarity, t test) {
	if !r.isTouched(t.node) {
		return
	}
	what, positive := r.judge(t.node, true)
	switch what {
	case asksBad:
		p.deny++
	case asksGood:
		p.allow++
	case asksConstant:
		p.literal++
		return
	default:
		return
	}
	if (what == asksGood) == (positive == t.want) {
		p.right++
	} else {
		p.wrong++
	}
}

type asks int

const (
	asksNothing asks = iota
	asksBad
	asksGood
	asksConstant // whether a value is one constant of no known meaning
)

// judge says what a test asks for; positive is false when it is true for the opposite.
func (r *reader) judge(i int, follow bool) (what asks, positive bool) {
	n := r.tree.Nodes[i]
	switch n.Role {
	case syntax.Binary:
		return r.judgeComparison(i, follow)
	case syntax.Call:
		return r.judgeCall(i, follow), true
	case syntax.Parenthesized:
		if child := r.tree.FirstChild(i); child >= 0 && r.tree.NextSibling(child) >= 0 {
			return r.judge(r.tree.NextSibling(child), false)
		}
	case syntax.Unary:
		if r.src[n.Start] == '~' { // ~x.indexOf(y): found
			if children := r.tree.NamedChildren(i); len(children) == 1 && r.tree.Nodes[children[0]].Role == syntax.Call {
				return r.judgeCall(children[0], follow), true
			}
		}
	case syntax.Identifier, syntax.Member:
		switch s := r.thesaurus.of(lastWord(r.tree.Bytes(i))); {
		case s&isDenial != 0:
			return asksBad, true
		case s&isPermission != 0:
			return asksGood, true
		}
	}
	return asksNothing, true
}

// lastWord is what follows the last dot.
func lastWord(text []byte) []byte { return text[bytes.LastIndexByte(text, '.')+1:] }

func (r *reader) judgeComparison(i int, follow bool) (asks, bool) {
	children := r.tree.NamedChildren(i)
	if len(children) != 2 {
		return asksNothing, true
	}
	op := r.operator(i)
	left, right := children[0], children[1]
	switch op {
	case "==", "===", "is":
		return r.judgeEquality(left, right, true, follow)
	case "!=", "!==", "is not":
		return r.judgeEquality(left, right, false, follow)
	case "in", "not in":
		return r.judgeMembership(right), op == "in"
	case "instanceof":
		return asksGood, true
	case "<", "<=", ">", ">=":
		return r.judgeOrder(left, right, op[0] == '>', op, follow)
	}
	return asksNothing, true
}

func (r *reader) judgeEquality(left, right int, equal, follow bool) (asks, bool) {
	if r.tree.Nodes[left].Role == syntax.String || r.tree.Nodes[left].Role == syntax.Number {
		left, right = right, left
	}
	constant := r.tree.Bytes(right)
	if r.tree.Nodes[left].Role == syntax.Call && !bytes.HasPrefix(r.tree.Bytes(left), []byte("typeof")) {
		switch string(constant) {
		case "-1", "false":
			return r.judgeCall(left, follow), !equal
		case "0":
			if call := r.tree.Invocation(left); exact[string(lower([]byte(call.Name)))]&isPrefix != 0 {
				what := r.judgeCall(left, follow)
				if what == asksNothing {
					what = asksGood
				}
				return what, equal
			}
		case "true":
			return r.judgeCall(left, follow), equal
		}
	}
	if bytes.HasPrefix(r.tree.Bytes(left), []byte("typeof")) {
		return asksGood, equal
	}
	switch r.tree.Nodes[right].Role {
	case syntax.String:
		if dangerous(unquoted(constant)) {
			return asksBad, equal
		}
		if len(constant) >= 6 {
			return asksConstant, equal
		}
	case syntax.Number:
		if len(constant) >= 3 {
			return asksConstant, equal
		}
	case syntax.Member:
		if bytes.HasSuffix(constant, []byte(".prototype")) {
			return asksBad, equal
		}
	}
	return asksNothing, true
}

// judgeMembership says what a list holds: a test of being in it asks for that.
func (r *reader) judgeMembership(list int) asks {
	text := r.tree.Bytes(list)
	if r.tree.Nodes[list].Role == syntax.Identifier {
		if value, known := r.values[r.number(text)]; known {
			list, text = value, r.tree.Bytes(value)
		}
	}
	if bytes.HasSuffix(text, []byte("prototype")) || dangerous(text[:min(len(text), 400)]) && r.tree.Nodes[list].Role != syntax.Identifier {
		return asksBad
	}
	switch s := r.thesaurus.of(lastWord(text)); {
	case s&isDenial != 0:
		return asksBad
	case s&isPermission != 0:
		return asksGood
	}
	return asksNothing
}

// judgeOrder reads comparisons by order: of a search with 0 or -1, and of a length with its limit.
func (r *reader) judgeOrder(left, right int, greater bool, op string, follow bool) (asks, bool) {
	if r.tree.Nodes[left].Role == syntax.Call {
		switch string(r.tree.Bytes(right)) {
		case "-1", "0":
			if what := r.judgeCall(left, follow); what != asksNothing {
				return what, greater
			}
		}
	}
	if r.thesaurus.of(lastWord(r.tree.Bytes(left)))&isLength != 0 {
		return asksBad, greater // longer than allowed
	}
	if r.thesaurus.of(lastWord(r.tree.Bytes(right)))&isLength != 0 && r.kind == weakMemory {
		return asksBad, greater
	}
	_ = op
	return asksNothing, true
}

// judgeCall says what a call that returns true has found.
func (r *reader) judgeCall(i int, follow bool) asks {
	call := r.tree.Invocation(i)
	s := r.thesaurus.of([]byte(call.Name))
	argument := []byte(nil)
	if len(call.Args) > 0 {
		argument = r.tree.Bytes(call.Args[0])
	}
	switch {
	case exact[string(lower([]byte(call.Name)))]&isOwn != 0:
		return asksGood
	case call.Name == "test" || call.Name == "match" || call.Name == "matches" || call.Name == "search" || call.Name == "fullmatch":
		return r.judgeMatch(i, call)
	case isListSearch(call.Name):
		if len(call.Args) > 0 && r.tree.Nodes[call.Args[0]].Role == syntax.String {
			if dangerous(unquoted(argument)) || string(unquoted(argument)) == "-" || string(unquoted(argument)) == "/" {
				return asksBad
			}
			return asksNothing
		}
		if object := r.object(i); object >= 0 {
			if what := r.judgeMembership(object); what != asksNothing {
				return what
			}
		}
		if call.Name == "startsWith" || call.Name == "startswith" || call.Name == "HasPrefix" {
			return asksGood
		}
		return asksNothing
	case s&isDenial != 0:
		return asksBad
	case s&isPermission != 0:
		return asksGood
	case s&isType != 0:
		return asksGood
	}
	if follow {
		return r.judgeCalled(call.Name)
	}
	return asksNothing
}

func isListSearch(name string) bool {
	switch name {
	case "includes", "indexOf", "contains", "has", "some", "startsWith", "startswith", "HasPrefix", "in_array", "strpos", "Contains", "find", "endsWith", "stripos":
		return true
	}
	return false
}

// object is what a method is called on, or -1.
func (r *reader) object(i int) int {
	callee := r.tree.Child(i, syntax.FieldFunction)
	if callee >= 0 && r.tree.Nodes[callee].Role == syntax.Member {
		return r.tree.FirstChild(callee)
	}
	return r.tree.Child(i, syntax.FieldObject)
}

// judgeMatch reads a test by a regular expression: one that spells something dangerous looks for it, one that is
// anchored at both ends says what is good.
func (r *reader) judgeMatch(i int, call syntax.Invocation) asks {
	pattern := r.object(i)
	for _, candidate := range append([]int{pattern}, call.Args...) {
		if candidate < 0 {
			continue
		}
		node := candidate
		if r.tree.Nodes[node].Role == syntax.Identifier {
			if value, known := r.values[r.number(r.tree.Bytes(node))]; known {
				node = value
			}
		}
		text := r.tree.Bytes(node)
		switch role := r.tree.Nodes[node].Role; {
		case role != syntax.Regex && role != syntax.String:
			continue
		case anchoredBothEnds(text) && !bytes.Contains(text, []byte("__proto__")):
			return asksGood
		case bytes.Contains(text, []byte("__proto__")) || dangerous(text) || bytes.Contains(text, []byte(`\.\.`)) || bytes.Contains(text, []byte(`\/`)):
			return asksBad
		}
		return asksNothing
	}
	return asksNothing
}

// anchoredBothEnds says whether a regular expression, written as a literal or a string, begins with ^ and ends with $.
func anchoredBothEnds(text []byte) bool {
	if len(text) > 0 && text[0] == '/' {
		if slash := bytes.LastIndexByte(text, '/'); slash > 0 {
			return bytes.HasPrefix(text, []byte("/^")) && bytes.HasSuffix(text[:slash], []byte("$"))
		}
		return false
	}
	inner := unquoted(text)
	return bytes.HasPrefix(inner, []byte("^")) && bytes.HasSuffix(inner, []byte("$")) || bytes.HasPrefix(inner, []byte(`\A`)) && bytes.HasSuffix(bytes.ToLower(inner), []byte(`\z`))
}

// judgeCalled looks into a function of the same file for what it returns true for.
func (r *reader) judgeCalled(name string) asks {
	for _, f := range r.functions {
		if !r.isTouched(f) || r.tree.FunctionName(f) != name || !r.spend(int(r.tree.Nodes[f].Size)) {
			continue
		}
		bad, good := 0, 0
		for at := f; at < r.tree.Next(f); at++ {
			if role := r.tree.Nodes[at].Role; role != syntax.Binary && role != syntax.Call || r.functionAt(int(r.tree.Nodes[at].Start)) != f {
				continue
			}
			switch what, positive := r.judge(at, false); {
			case what == asksBad && positive, what == asksGood && !positive:
				bad++
			case what == asksGood && positive, what == asksBad && !positive:
				good++
			}
		}
		switch {
		case bad > good:
			return asksBad
		case good > bad:
			return asksGood
		}
	}
	return asksNothing
}

// absurd says whether a chain of one connective compares one thing with two constants such that no value can pass
// (a == 'x' && a == 'y'), every value must (a != 'x' || a != 'y'), or one of the two comparisons decides nothing
// (a == 'x' || a != 'y').
func (r *reader) absurd(i int, and bool) bool {
	type comparison struct {
		constant string
		equal    bool
	}
	seen := map[string]comparison{}
	for at := i; at >= 0; {
		children := r.tree.NamedChildren(at)
		if len(children) != 2 {
			break
		}
		next := -1
		for _, child := range children {
			for r.tree.Nodes[child].Role == syntax.Parenthesized && r.tree.Nodes[child].Size > 2 {
				child = r.tree.NextSibling(r.tree.FirstChild(child))
			}
			if same, ok := r.connective(child); ok && same == and {
				next = child
				continue
			}
			op := r.operator(child)
			sides := r.tree.NamedChildren(child)
			if op != "===" && op != "==" && op != "!==" && op != "!=" || len(sides) != 2 || r.tree.Nodes[sides[1]].Role != syntax.String && r.tree.Nodes[sides[1]].Role != syntax.Number {
				continue
			}
			what, this := r.tree.Text(sides[0]), comparison{r.tree.Text(sides[1]), op[0] == '='}
			other, known := seen[what]
			if known && other.constant != this.constant && (other.equal != this.equal || this.equal == and) {
				return true
			}
			seen[what] = this
		}
		at = next
	}
	return false
}
