package features

import (
	"bytes"
	"strconv"
	"strings"

	"crisol/internal/syntax"
)

// This file looks for what a careful reviewer takes for damage: names without a meaning, code that is never reached, and
// conditions that ordinary input meets.

// damage sets what the two trees of a file say of it.
func (f *file) damage(v Vector, before, after *reader) {
	if resolves(f.lang) {
		old, now := before.bind(), after.bind()
		if before.work > 0 && after.work > 0 {
			v[undefinedNames] += float64(unresolved(old, now))
			if !old.scraps && !now.scraps {
				v[idleNames] += float64(idle(old, now))
			}
			v[alarms] += truth(now.refused() > old.refused())
		}
	}
	for _, i := range after.changedNodes() {
		switch after.tree.Nodes[i].Role {
		case syntax.Throw:
			v[throwsAdded] += truth(after.isKeywordNew(i))
		case syntax.Binary:
			if and, ok := after.connective(i); ok && !after.continues(i, and) {
				v[guardContradiction] += truth(after.absurd(i, and))
			}
		case syntax.If:
			v[unconditionalExit] += truth(after.always(i))
			v[guardsBroad] += truth(after.broad(i))
		case syntax.Statement, syntax.Call:
			v[unconditionalExit] += truth(after.ends(i))
		}
	}
}

// continues says whether a chain of a connective goes on above node i.
func (r *reader) continues(i int, and bool) bool {
	p := int(r.tree.Nodes[i].Parent)
	for p >= 0 && r.tree.Nodes[p].Role == syntax.Parenthesized {
		p = int(r.tree.Nodes[p].Parent)
	}
	if p < 0 {
		return false
	}
	above, ok := r.connective(p)
	return ok && above == and
}

// inBody says whether a statement stands in a function's own block, or the file's, with others after it.
func (r *reader) inBody(i int) bool {
	p := int(r.tree.Nodes[i].Parent)
	for p > 0 && r.tree.Nodes[p].Role == syntax.Statement {
		i, p = p, int(r.tree.Nodes[p].Parent)
	}
	if p > 0 && r.lang == syntax.Go && r.tree.Kind(p) == "statement_list" {
		i, p = p, int(r.tree.Nodes[p].Parent)
		if r.tree.Nodes[i].Size > 8 {
			return p > 0 && r.tree.Nodes[p].Role == syntax.Block && r.tree.Nodes[r.tree.Nodes[p].Parent].Role == syntax.Function
		}
	}
	if p < 0 || p > 0 && (r.tree.Nodes[p].Role != syntax.Block || r.tree.Nodes[p].Parent < 0 || r.tree.Nodes[r.tree.Nodes[p].Parent].Role != syntax.Function) {
		return false
	}
	for next := r.tree.NextSibling(i); next >= 0; next = r.tree.NextSibling(next) {
		if n := r.tree.Nodes[next]; n.Flags&syntax.Named != 0 && n.Role != syntax.Comment && n.Role != syntax.Function {
			return true
		}
	}
	return false
}

// always says whether a new condition is a constant that holds, and its body leaves.
func (r *reader) always(i int) bool {
	condition, body := r.tree.Child(i, syntax.FieldCondition), r.tree.Child(i, syntax.FieldConsequence, syntax.FieldBody)
	if condition < 0 || body < 0 || !r.isNew(i) {
		return false
	}
	switch strings.Trim(r.tree.Text(condition), "() ") {
	case "true", "True", "1":
		return r.leaves(body) && r.inBody(i)
	}
	return false
}

// ends says whether a new statement is a call that ends the program or the function.
func (r *reader) ends(i int) bool {
	if r.tree.Nodes[i].Role == syntax.Call && r.lang != syntax.Rust && r.lang != syntax.Go || !r.isKeywordNew(i) {
		return false
	}
	call := i
	if r.tree.Nodes[i].Role == syntax.Statement {
		if call = r.tree.FirstChild(i); call < 0 || r.tree.Nodes[call].Role != syntax.Call {
			return false
		}
		if r.lang == syntax.Rust || r.lang == syntax.Go {
			return false // seen by its call
		}
	}
	switch r.tree.Invocation(call).Name {
	case "panic", "exit", "abort", "die", "_exit", "__builtin_exit", "unreachable", "unimplemented", "todo":
		return r.inBody(i)
	}
	return false
}

// broad says whether a new condition that leaves is met by ordinary values: a value that is there, a text, a thing that
// isn't empty, anything below a large number.
func (r *reader) broad(i int) bool {
	condition, body := r.tree.Child(i, syntax.FieldCondition), r.tree.Child(i, syntax.FieldConsequence, syntax.FieldBody)
	if condition < 0 || body < 0 || !r.isNew(condition) || !r.leaves(body) {
		return false
	}
	for r.tree.Nodes[condition].Role == syntax.Parenthesized {
		children := r.tree.NamedChildren(condition)
		if len(children) != 1 {
			return false
		}
		condition = children[0]
	}
	if r.tree.Nodes[condition].Role == syntax.Literal || r.tree.Nodes[condition].Role == syntax.Number {
		return true
	}
	return r.refuses(body) && r.ordinary(condition)
}

// refuses says whether a body throws, ends the program, or gives an error.
func (r *reader) refuses(body int) bool {
	for at := body; at < r.tree.Next(body); at++ {
		switch r.tree.Nodes[at].Role {
		case syntax.Throw:
			return true
		case syntax.Call:
			switch name := r.tree.Invocation(at).Name; name {
			case "panic", "exit", "abort", "fail", "reject", "die", "Err", "Errorf", "New", "Error":
				return true
			}
		}
	}
	return false
}

func (r *reader) ordinary(i int) bool {
	switch r.tree.Nodes[i].Role {
	case syntax.Literal, syntax.Number:
		return true
	case syntax.Identifier, syntax.Member, syntax.Subscript: // a word that tells of permission or denial is no value
		text := r.tree.Bytes(i)
		return r.thesaurus.of(lastWord(text))&(isDenial|isPermission) == 0 && !bytes.Contains(lower(text), []byte("err"))
	case syntax.Unary: // !x.isEmpty()
		if children := r.tree.NamedChildren(i); r.negates(i) && len(children) > 0 {
			text := string(lower(r.tree.Bytes(children[len(children)-1])))
			return strings.Contains(text, "empty(")
		}
	case syntax.Binary:
		return r.ordinaryComparison(i)
	}
	return false
}

func (r *reader) ordinaryComparison(i int) bool {
	children := r.tree.NamedChildren(i)
	if len(children) != 2 {
		return false
	}
	if r.tree.Nodes[children[0]].Role == syntax.Call {
		return false
	}
	left, right := r.tree.Text(children[0]), r.tree.Text(children[1])
	switch op := r.operator(i); op {
	case "!=", "!==", "is not":
		switch right {
		case "null", "undefined", "None", "nil", "NULL", "''", `""`, "0":
			return true
		}
	case "==", "===":
		return strings.HasPrefix(left, "typeof") && (strings.Contains(right, "string") || strings.Contains(right, "object") || strings.Contains(right, "function"))
	case "<", "<=":
		n, err := strconv.ParseFloat(right, 64)
		return err == nil && n >= 1000
	case ">", ">=":
		n, err := strconv.ParseFloat(right, 64)
		return err == nil && n <= 16 && strings.Contains(strings.ToLower(left), "len")
	}
	return false
}

// alarms adds, to what was found in the files, the kinds of damage of the patch that hardly any good patch does.
func (v Vector) alarms() float64 {
	n := v[alarms]
	for _, at := range []int{undefinedNames, unknownImports, unconditionalExit, errorsAdded, guardContradiction} {
		n += truth(v[at] > 0)
	}
	return n
}
