package features

import (
	"bytes"
	"strconv"
	"strings"

	"crisol/internal/syntax"
)

// value is what an expression is worth, as far as it can be told.
type value struct {
	kind   valueKind
	text   string // of a text, and of what was given
	listed bool   // of what was given: see probe
	number float64
	yes    bool
	list   []value
	node   int // of a pattern or a function
}

type valueKind int

const (
	unknown  valueKind = iota
	given              // made of the probe
	constant           // a text
	quantity           // a number
	truthValue
	nothing // null and its like
	several // a list, a set, or the keys of an object
	pattern
	routine // a function of the file
)

// The bounds of the probeSet of one side.
const (
	maxProbeSteps   = 30_000
	maxProbeMatches = 400
	maxProbeDepth   = 24
	maxStored       = 600  // nodes of a variable\'s value
	maxRoutine      = 1200 // of a function that is followed
	matchSteps      = 1_000
)

// truth is whether a value holds in a condition.
func (w value) truth() (yes, known bool) {
	switch w.kind {
	case constant:
		return w.text != "", true
	case quantity:
		return w.number != 0, true
	case truthValue:
		return w.yes, true
	case nothing:
		return false, true
	case several, pattern, routine:
		return true, true
	}
	return false, false
}

func is(yes bool) value { return value{kind: truthValue, yes: yes} }

// eval works an expression out.
func (c *evaluator) eval(i, depth int) value {
	if c.steps--; c.steps < 0 || i < 0 || depth > maxProbeDepth {
		return value{}
	}
	n := c.tree.Nodes[i]
	if n.Start == n.End { // the parser puts in what is missing
		return value{}
	}
	switch n.Role {
	case syntax.Parenthesized:
		if children := c.tree.NamedChildren(i); len(children) == 1 {
			return c.eval(children[0], depth+1)
		}
	case syntax.String:
		return value{kind: constant, text: unescape(string(unquoted(c.tree.Bytes(i))))}
	case syntax.Template:
		return c.template(i, depth)
	case syntax.Number:
		if f, err := strconv.ParseFloat(strings.ReplaceAll(c.tree.Text(i), "_", ""), 64); err == nil {
			return value{kind: quantity, number: f}
		}
	case syntax.Regex:
		return value{kind: pattern, node: i}
	case syntax.Literal:
		return literalValue(c.tree.Text(i))
	case syntax.Array:
		return c.elements(c.tree.NamedChildren(i), depth)
	case syntax.Object:
		return c.keys(i, depth)
	case syntax.Function:
		return value{kind: routine, node: i}
	case syntax.Unary:
		return c.unary(i, depth)
	case syntax.Binary:
		return c.binary(i, depth)
	case syntax.Ternary:
		return c.ternary(i, depth)
	case syntax.Call:
		return c.call(i, depth)
	case syntax.Subscript, syntax.Member:
		return c.member(i, depth)
	case syntax.Identifier:
		return c.name(i, depth)
	}
	return value{}
}

func literalValue(text string) value {
	switch text {
	case "true", "True":
		return is(true)
	case "false", "False":
		return is(false)
	}
	return value{kind: nothing}
}

// given is the value of what isn't known: it is the probe.
func (c *evaluator) given() value {
	return value{kind: given, text: c.probe.text, listed: c.probe.listed}
}

func (c *evaluator) elements(nodes []int, depth int) value {
	out := value{kind: several}
	for _, node := range nodes {
		out.list = append(out.list, c.eval(node, depth+1))
	}
	return out
}

// keys are the names in an object.
func (c *evaluator) keys(i, depth int) value {
	out := value{kind: several}
	for _, pair := range c.tree.NamedChildren(i) {
		key := pair
		if first := c.tree.FirstChild(pair); first >= 0 && c.tree.Nodes[pair].Role == syntax.Pair {
			key = first
		}
		if c.tree.Nodes[key].Role == syntax.Identifier {
			out.list = append(out.list, value{kind: constant, text: c.tree.Text(key)})
		} else {
			out.list = append(out.list, c.eval(key, depth+1))
		}
	}
	return out
}

// template is the probe where it is the only thing in it, and unknown otherwise.
func (c *evaluator) template(i, depth int) value {
	children := c.tree.NamedChildren(i)
	if len(children) == 0 {
		return value{kind: constant, text: strings.Trim(c.tree.Text(i), "`")}
	}
	if len(children) == 1 && c.tree.Nodes[children[0]].Size > 1 && int(c.tree.Nodes[children[0]].End-c.tree.Nodes[children[0]].Start)+2 == int(c.tree.Nodes[i].End-c.tree.Nodes[i].Start) {
		if inner := c.tree.NamedChildren(children[0]); len(inner) == 1 {
			return c.spelled(c.eval(inner[0], depth+1))
		}
	}
	return value{}
}

// spelled is the text of a value.
func (c *evaluator) spelled(w value) value {
	if w.kind == given || w.kind == constant {
		w.listed = false
		return w
	}
	return value{}
}

// unary is a negation, a sign or a type.
func (c *evaluator) unary(i, depth int) value {
	children := c.tree.NamedChildren(i)
	if len(children) == 0 {
		return value{}
	}
	inner := c.eval(children[len(children)-1], depth+1)
	op := string(c.tree.Bytes(i)[:min(6, len(c.tree.Bytes(i)))])
	switch {
	case c.negates(i):
		if yes, known := inner.truth(); known {
			return is(!yes)
		}
	case op[0] == '-' && inner.kind == quantity:
		return value{kind: quantity, number: -inner.number}
	case op[0] == '~' && inner.kind == quantity:
		return is(inner.number != -1)
	case op == "typeof":
		if inner.kind == given && !inner.listed && c.kind != weakPollution {
			return value{kind: constant, text: "string"}
		}
	}
	return value{}
}

func (c *evaluator) ternary(i, depth int) value {
	condition, then, other := c.tree.Child(i, syntax.FieldCondition), c.tree.Child(i, syntax.FieldConsequence), c.tree.Child(i, syntax.FieldAlternative)
	if children := c.tree.NamedChildren(i); condition < 0 && len(children) == 3 {
		then, condition, other = children[0], children[1], children[2]
	}
	if yes, known := c.eval(condition, depth+1).truth(); known && yes {
		return c.eval(then, depth+1)
	} else if known {
		return c.eval(other, depth+1)
	}
	return value{}
}

func (c *evaluator) binary(i, depth int) value {
	children := c.tree.NamedChildren(i)
	if len(children) != 2 {
		return value{}
	}
	if and, ok := c.connective(i); ok {
		return c.logical(children, and, depth)
	}
	op := c.operator(i)
	left, right := c.eval(children[0], depth+1), c.eval(children[1], depth+1)
	switch op {
	case "==", "===", "is":
		return c.equal(left, right, op == "==" && isScript(c.lang))
	case "!=", "!==", "is not":
		if w := c.equal(left, right, op == "!=" && isScript(c.lang)); w.kind == truthValue {
			return is(!w.yes)
		}
	case "in", "not in":
		if w := c.within(left, right); w.kind == truthValue {
			return is(w.yes == (op == "in"))
		}
	case "<", "<=", ">", ">=":
		if left.kind == quantity && right.kind == quantity {
			return is(ordered(op, left.number, right.number))
		}
	case "+":
		if left.kind == quantity && right.kind == quantity {
			return value{kind: quantity, number: left.number + right.number}
		}
		if right.kind == constant && right.text == "" {
			return c.spelled(left)
		}
		if left.kind == constant && left.text == "" {
			return c.spelled(right)
		}
		if left.kind == constant && right.kind == constant {
			return value{kind: constant, text: left.text + right.text}
		}
	case "*":
		if left.kind == quantity && right.kind == quantity {
			return value{kind: quantity, number: left.number * right.number}
		}
	case "<<":
		if left.kind == quantity && right.kind == quantity && right.number < 40 && right.number >= 0 {
			return value{kind: quantity, number: left.number * float64(int64(1)<<int(right.number))}
		}
	}
	return value{}
}

func ordered(op string, a, b float64) bool {
	switch op {
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	}
	return a >= b
}

// logical is the value of a chain: one side may decide although the other is unknown.
func (c *evaluator) logical(children []int, and bool, depth int) value {
	left := c.eval(children[0], depth+1)
	yes, known := left.truth()
	if known && yes != and {
		return left
	}
	right := c.eval(children[1], depth+1)
	other, sure := right.truth()
	switch {
	case known:
		return right
	case sure && other != and:
		return is(other)
	}
	return value{}
}

func (c *evaluator) equal(a, b value, loose bool) value {
	if a.kind == constant || a.kind == nothing || a.kind == quantity || a.kind == truthValue {
		a, b = b, a
	}
	switch {
	case a.kind == given && b.kind == constant:
		return is(a.text == b.text && (loose || !a.listed))
	case a.kind == constant && b.kind == constant:
		return is(a.text == b.text)
	case a.kind == quantity && b.kind == quantity:
		return is(a.number == b.number)
	case a.kind == truthValue && b.kind == truthValue:
		return is(a.yes == b.yes)
	}
	return value{}
}

// within says whether a value is among others, or a text part of another.
func (c *evaluator) within(what, where value) value {
	switch where.kind {
	case several:
		for _, w := range where.list {
			if same := c.equal(what, w, false); same.kind != truthValue || same.yes {
				return same
			}
		}
		if what.kind == given || what.kind == constant {
			return is(false)
		}
	case given:
		if what.kind == constant && c.lang == syntax.Python {
			return is(strings.Contains(where.text, what.text))
		}
	}
	return value{}
}

// member is what stands under a name or a key of something.
func (c *evaluator) member(i, depth int) value {
	children := c.tree.NamedChildren(i)
	if len(children) < 2 {
		return value{}
	}
	text := c.tree.Bytes(i)
	if c.tree.Nodes[i].Role == syntax.Subscript {
		object := c.eval(children[0], depth+1)
		if object.kind == several {
			return c.within(c.eval(children[1], depth+1), object)
		}
		return c.given()
	}
	if c.tree.Text(children[len(children)-1]) == "length" {
		switch inner := c.eval(children[0], depth+1); inner.kind {
		case given, constant:
			return c.lengthOf(inner)
		case several:
			return value{kind: quantity, number: float64(len(inner.list))}
		}
		return value{}
	}
	if w := c.stored(text, depth); w.kind != unknown {
		return w
	}
	if first := text[0]; 'A' <= first && first <= 'Z' || bytes.HasSuffix(text, []byte("prototype")) {
		return value{}
	}
	return c.given()
}

// stored is the value that a name was given where it was declared: a list, an expression, a function, what a condition
// says, or a constant that looks like it stays.
func (c *evaluator) stored(name []byte, depth int) value {
	c.look()
	last := lastWord(name)
	node, declared := c.values[c.number(last)]
	again, assigned := c.assigned[string(last)]
	switch {
	case assigned && (declared || again < 0): // it changes
		return value{}
	case assigned:
		node = again
	case !declared:
		return value{}
	}
	if node < 0 || c.tree.Nodes[node].Size > maxStored {
		return value{}
	}
	switch w := c.recall(node, depth+2); w.kind {
	case several, pattern, routine, truthValue:
		return w
	case constant, quantity:
		if c.lasts(node, name) {
			return w
		}
	}
	return value{}
}

// spot is where an expression is worked out; how deep decides where the working out ends.
type spot struct{ node, depth int }

// recalled is what an expression was worth for a probe, and what it took to tell.
type recalled struct {
	value
	steps, matches int
}

// recall works an expression out that it has perhaps worked out before, for the same probe. It gives what eval gives, to
// the last step: what has been told counts again against the bounds, and where it would exceed them it is worked out.
func (c *evaluator) recall(node, depth int) value {
	if len(c.env) > 0 {
		return c.eval(node, depth)
	}
	at := spot{node, depth}
	if r, known := c.known[at]; known && r.steps <= c.steps && r.matches <= c.matches {
		c.steps, c.matches = c.steps-r.steps, c.matches-r.matches
		return r.value
	}
	steps, matches := c.steps, c.matches
	w := c.eval(node, depth)
	if c.steps >= 0 && c.matches >= 0 {
		c.known[at] = recalled{w, steps - c.steps, matches - c.matches}
	}
	return w
}

// lasts says whether a variable looks like one that keeps its first value.
func (c *evaluator) lasts(node int, name []byte) bool {
	if last := lastWord(name); len(last) > 1 && bytes.Equal(bytes.ToUpper(last), last) {
		return true
	}
	for p, steps := int(c.tree.Nodes[node].Parent), 0; p >= 0 && steps < 3; p, steps = int(c.tree.Nodes[p].Parent), steps+1 {
		if text := c.tree.Bytes(p); bytes.HasPrefix(text, []byte("const")) || bytes.HasPrefix(text, []byte("static final")) {
			return true
		}
	}
	return false
}

func (c *evaluator) name(i, depth int) value {
	text := c.tree.Bytes(i)
	if w, bound := c.env[string(text)]; bound {
		return w
	}
	switch string(text) {
	case "undefined", "nil", "None", "null":
		return value{kind: nothing}
	}
	if w := c.stored(text, depth); w.kind != unknown {
		return w
	}
	if f, known := c.routines[string(text)]; known {
		return value{kind: routine, node: f}
	}
	if first := text[0]; 'A' <= first && first <= 'Z' {
		return value{}
	}
	return c.given()
}
