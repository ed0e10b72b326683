package mutate

import (
	"fmt"
	"slices"
	"strings"

	"crisol/internal/syntax"
)

// Rewrites are the ways to say the same otherwise. They mean to keep the meaning; where they don't, a trial tells.
var Rewrites = []Mutator{
	{"de_morgan", deMorgan},
	{"branches_swapped", swapBranches},
	{"locals_renamed", renameLocals},
	{"variable_extracted", extractVariable},
	{"membership", membership},
	{"guard_wrapped", wrapGuard},
	{"operands_swapped", swapOperands},
	{"helper_added", addHelper},
	{"statements_reordered", reorder},
	{"quotes", requote},
	{"loop_form", loopForm},
}

// deMorgan says a conjunction as the negation of a disjunction, and the other way round.
func deMorgan(s *Source) (out []Edited) {
	w := s.words()
	for _, i := range s.inside(syntax.Binary) {
		op := s.operator(i)
		left, right, ok := s.operands(i)
		if op < 0 || !ok {
			continue
		}
		other, known := map[string]string{w.and: w.or, w.or: w.and}[s.tree.Text(op)]
		if !known || (s.Lang == syntax.JavaScript || s.Lang == syntax.Python) && !s.asked(i) { // elsewhere, && gives an operand
			continue
		}
		by := fmt.Sprintf("%s(%s %s %s)", w.not, s.negate(s.tree.Text(left)), other, s.negate(s.tree.Text(right)))
		out = append(out, s.swap("De Morgan on "+s.at(i), i, by)...)
	}
	return out
}

// asked says whether an expression is an if's or a loop's condition, or a part of one that only its truth matters of.
func (s *Source) asked(i int) bool {
	for {
		parent := int(s.tree.Nodes[i].Parent)
		switch n := s.tree.Nodes[parent]; {
		case n.Role == syntax.If || n.Role == syntax.Loop:
			return s.tree.Nodes[i].Field == syntax.FieldCondition
		case n.Role == syntax.Parenthesized || n.Role == syntax.Unary:
		case n.Role == syntax.Binary && s.operator(parent) >= 0 && slices.Contains([]string{"&&", "||", "and", "or"}, s.tree.Text(s.operator(parent))):
		default:
			return false
		}
		i = parent
	}
}

// swapBranches negates an if's condition and swaps what it leads to.
func swapBranches(s *Source) (out []Edited) {
	if s.Lang == syntax.Python || s.Lang == syntax.Rust {
		return nil
	}
	for _, i := range s.tree.All(syntax.If) {
		c, yes := s.condition(i), s.tree.Child(i, syntax.FieldConsequence)
		if c < 0 || yes < 0 || !s.begins(i) || strings.HasPrefix(s.tree.Kind(i), "preproc") {
			continue
		}
		no := s.tree.Child(i, syntax.FieldAlternative)
		if no >= 0 && s.tree.Nodes[no].Role == syntax.Else {
			if children := s.tree.NamedChildren(no); len(children) == 1 {
				no = children[0]
			}
		}
		note := "branches swapped on " + s.at(i)
		if no < 0 {
			if s.Lang != syntax.Go {
				out = append(out, s.edit(note, s.put(c, s.negate(s.tree.Text(c))), s.put(yes, "{} else "+block(s.tree.Text(yes))))...)
			}
			continue
		}
		if s.tree.Nodes[no].Role == syntax.Block && s.tree.Nodes[yes].Role == syntax.Block {
			out = append(out, s.edit(note, s.put(c, s.negate(s.tree.Text(c))), s.put(yes, s.tree.Text(no)), s.put(no, s.tree.Text(yes)))...)
		}
	}
	return out
}

// block puts braces around a statement that has none.
func block(text string) string {
	if strings.HasPrefix(text, "{") {
		return text
	}
	return "{ " + text + " }"
}

// renameLocals gives the variables that the spans declare other names.
func renameLocals(s *Source) (out []Edited) {
	for _, i := range s.inside(syntax.Declarator) {
		name := s.tree.Child(i, syntax.FieldName, syntax.FieldLeft)
		if name < 0 || s.tree.Nodes[name].Role != syntax.Identifier || s.tree.Nodes[name].Size != 1 {
			continue
		}
		out = append(out, s.rename(name)...)
	}
	if s.Lang == syntax.Python {
		for _, i := range s.inside(syntax.Assignment) {
			if name := s.tree.Child(i, syntax.FieldLeft); name >= 0 && s.tree.Nodes[name].Role == syntax.Identifier && s.tree.Nodes[name].Size == 1 {
				out = append(out, s.rename(name)...)
			}
		}
	}
	return out
}

// rename renames a variable within the function around it.
func (s *Source) rename(i int) []Edited {
	f := s.tree.Ancestor(i, syntax.Function)
	old := s.tree.Text(i)
	if f < 0 || slices.ContainsFunc(s.params(f), func(p param) bool { return p.name == old }) {
		return nil
	}
	by := old + "Value"
	if s.Lang == syntax.Python || s.Lang == syntax.Rust || s.Lang == syntax.PlainC {
		by = old + "_value"
	}
	var all []replacement
	for k := f; k < s.tree.Next(f); k++ {
		n := s.tree.Nodes[k]
		if n.Role != syntax.Identifier || n.Size != 1 || s.tree.Text(k) != old || n.Field == syntax.FieldProperty || n.Field == syntax.FieldKey {
			continue
		}
		if kind := s.tree.Kind(k); kind == "property_identifier" || kind == "field_identifier" {
			continue
		} else if strings.HasPrefix(kind, "shorthand") {
			return nil
		}
		all = append(all, s.put(k, by))
	}
	return s.edit(fmt.Sprintf("%s renamed to %s", old, by), all...)
}

// extractVariable gives an if's condition a name.
func extractVariable(s *Source) (out []Edited) {
	for _, i := range s.tree.All(syntax.If) {
		c := s.condition(i)
		parent := s.tree.Nodes[i].Parent
		if c < 0 || !s.within(c) || parent < 0 || s.tree.Nodes[parent].Role != syntax.Block || s.tree.Nodes[i].Field == syntax.FieldAlternative || s.tree.Kind(i) != "if_statement" {
			continue
		}
		declare := map[syntax.Language]string{
			syntax.JavaScript: "var matches = %s;\n", syntax.Python: "matches = (%s)\n", syntax.Go: "matches := %s\n", syntax.Java: "boolean matches = %s;\n",
			syntax.PlainC: "int matches = (%s);\n", syntax.CPP: "bool matches = (%s);\n",
		}[s.Lang]
		if declare == "" || s.tree.Child(i, syntax.FieldCondition) < 0 {
			continue
		}
		at := int(s.tree.Nodes[i].Start)
		out = append(out, s.edit("condition named on "+s.at(i), replacement{at, at, fmt.Sprintf(declare, s.tree.Text(c)) + s.indent(i)}, s.put(c, "matches"))...)
	}
	return out
}

// membership says indexOf by includes, and the other way round.
func membership(s *Source) (out []Edited) {
	if s.Lang != syntax.JavaScript && s.Lang != syntax.TypeScript {
		return nil
	}
	for _, i := range s.inside(syntax.Binary) {
		left, right, ok := s.operands(i)
		op := s.operator(i)
		if !ok || op < 0 || s.tree.Nodes[left].Role != syntax.Call || s.tree.Invocation(left).Name != "indexOf" {
			continue
		}
		by := strings.Replace(s.tree.Text(left), "indexOf", "includes", 1)
		switch s.tree.Text(op) + " " + s.tree.Text(right) {
		case "!== -1", "!= -1", "> -1", ">= 0":
		case "=== -1", "== -1", "< 0":
			by = "!" + by
		default:
			continue
		}
		out = append(out, s.swap("includes for indexOf on "+s.at(i), i, by)...)
	}
	for _, i := range s.inside(syntax.Call) {
		if call := s.tree.Invocation(i); call.Name == "includes" && len(call.Args) == 1 {
			out = append(out, s.swap("indexOf for includes on "+s.at(i), i, "("+strings.Replace(s.tree.Text(i), "includes", "indexOf", 1)+" !== -1)")...)
		}
	}
	return out
}

// wrapGuard says a guard that leaves as a condition around what follows it, where nothing but leaving is in it.
func wrapGuard(s *Source) (out []Edited) {
	if s.Lang == syntax.Python {
		return nil
	}
	for _, i := range s.guards() {
		parent := int(s.tree.Nodes[i].Parent)
		c, body := s.condition(i), s.tree.Child(i, syntax.FieldConsequence)
		if s.tree.Nodes[parent].Role != syntax.Block || c < 0 {
			continue
		}
		leaves := strings.Trim(s.tree.Text(body), "{}; \t\r\n")
		around := s.tree.Nodes[s.tree.Nodes[parent].Parent].Role
		if !(leaves == "return" && around == syntax.Function || leaves == "continue" && around == syntax.Loop) {
			continue
		}
		rest := strings.TrimRight(s.Text[s.tree.Nodes[i].End:int(s.tree.Nodes[parent].End)-1], " \t\r\n")
		open := "if (" + s.negate(s.tree.Text(c)) + ") {"
		if s.Lang == syntax.Go {
			open = "if " + s.negate(s.tree.Text(c)) + " {"
		}
		by := open + rest + "\n" + s.indent(i) + "}\n"
		out = append(out, s.edit("guard around what follows on "+s.at(i), replacement{int(s.tree.Nodes[i].Start), int(s.tree.Nodes[parent].End) - 1, by})...)
	}
	return out
}

var mirrored = map[string]string{"===": "===", "!==": "!==", "==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

// swapOperands writes a comparison the other way round.
func swapOperands(s *Source) (out []Edited) {
	for _, i := range s.inside(syntax.Binary) {
		op := s.operator(i)
		left, right, ok := s.operands(i)
		if !ok || op < 0 {
			continue
		}
		if by, known := mirrored[s.tree.Text(op)]; known {
			out = append(out, s.swap("operands swapped on "+s.at(i), i, s.tree.Text(right)+" "+by+" "+s.tree.Text(left))...)
		}
	}
	return out
}

// addHelper asks a function of its own for an if's condition.
func addHelper(s *Source) (out []Edited) {
	form := map[syntax.Language]string{
		syntax.JavaScript: "(() => %s)()", syntax.Python: "(lambda: %s)()", syntax.Go: "func() bool { return %s }()", syntax.Rust: "(|| %s)()",
	}[s.Lang]
	if form == "" {
		return nil
	}
	for _, role := range []syntax.Role{syntax.If, syntax.Ternary} {
		for _, i := range s.tree.All(role) {
			if c := s.condition(i); c >= 0 && s.within(c) {
				out = append(out, s.swap("condition in a function on "+s.at(c), c, fmt.Sprintf(form, s.tree.Text(c)))...)
			}
		}
	}
	return out
}

// reorder swaps neighbouring statements that name nothing in common.
func reorder(s *Source) (out []Edited) {
	simple := func(i int) bool {
		r := s.tree.Nodes[i].Role
		kind := s.tree.Kind(i)
		return r == syntax.Statement || kind == "variable_declaration" || kind == "lexical_declaration" || kind == "if_statement"
	}
	for i := range s.tree.Nodes {
		next := s.tree.NextSibling(i)
		if next < 0 || !simple(i) || !simple(next) || !(s.begins(i) || s.begins(next)) || s.share(i, next) {
			continue
		}
		between := s.Text[s.tree.Nodes[i].End:s.tree.Nodes[next].Start]
		by := s.tree.Text(next) + between + s.tree.Text(i)
		out = append(out, s.edit("statements swapped on "+s.at(i), replacement{int(s.tree.Nodes[i].Start), int(s.tree.Nodes[next].End), by})...)
	}
	return out
}

// share says whether two nodes name the same thing, or one of them leaves.
func (s *Source) share(a, b int) bool {
	names := map[string]bool{}
	for k := a; k < s.tree.Next(a); k++ {
		if s.tree.Nodes[k].Role == syntax.Identifier {
			names[s.tree.Text(k)] = true
		}
	}
	for k := a; k < s.tree.Next(b); k++ {
		n := s.tree.Nodes[k]
		if n.Role == syntax.Return || n.Role == syntax.Throw || n.Role == syntax.Jump || k >= b && n.Role == syntax.Identifier && names[s.tree.Text(k)] {
			return true
		}
	}
	return false
}

// requote writes strings with the other quotes.
func requote(s *Source) []Edited {
	if s.Lang != syntax.JavaScript && s.Lang != syntax.Python {
		return nil
	}
	var all []replacement
	for _, i := range s.inside(syntax.String) {
		text := s.tree.Text(i)
		if len(text) < 2 || strings.ContainsAny(text[1:len(text)-1], `'"\`) || strings.HasPrefix(text, `"""`) {
			continue
		}
		switch text[0] {
		case '\'':
			all = append(all, s.put(i, `"`+text[1:len(text)-1]+`"`))
		case '"':
			all = append(all, s.put(i, `'`+text[1:len(text)-1]+`'`))
		}
	}
	return s.edit("other quotes", all...)
}

// loopForm says a for loop by while, and a for-of loop by forEach, where nothing in them jumps.
func loopForm(s *Source) (out []Edited) {
	for _, i := range s.tree.All(syntax.Loop) {
		body := s.tree.Child(i, syntax.FieldBody)
		if s.Lang != syntax.JavaScript || body < 0 || !s.begins(i) || s.tree.Nodes[body].Role != syntax.Block || s.leaves(body) {
			continue
		}
		switch s.tree.Kind(i) {
		case "for_statement":
			out = append(out, s.whileLoop(i, body)...)
		case "for_in_statement":
			left, right := s.tree.Child(i, syntax.FieldLeft), s.tree.Child(i, syntax.FieldRight)
			if left < 0 || right < 0 {
				continue
			}
			list := s.tree.Text(right)
			if !strings.Contains(s.Text[s.tree.Nodes[left].End:s.tree.Nodes[right].Start], "of") {
				list = "Object.keys(" + list + ")" // which leaves out what is inherited
			}
			by := fmt.Sprintf("%s.forEach((%s) => %s);", list, s.tree.Text(left), s.tree.Text(body))
			out = append(out, s.swap("forEach on "+s.at(i), i, by)...)
		}
	}
	return out
}

func (s *Source) whileLoop(i, body int) []Edited {
	text := s.tree.Text(body)
	head := s.Text[s.tree.Nodes[i].Start:s.tree.Nodes[body].Start]
	parts := strings.Split(strings.TrimSuffix(strings.TrimSpace(head[strings.IndexByte(head, '(')+1:]), ")"), ";")
	if len(parts) != 3 || strings.TrimSpace(parts[1]) == "" || !strings.Contains(parts[0], "var ") && strings.TrimSpace(parts[0]) != "" && !strings.Contains(parts[0], "=") {
		return nil
	}
	by := fmt.Sprintf("%s;\n%swhile (%s) %s\n%s%s;\n%s}", strings.TrimSpace(parts[0]), s.indent(i), strings.TrimSpace(parts[1]),
		strings.TrimRight(strings.TrimSuffix(text, "}"), " \t\r\n"), s.indent(i)+"  ", strings.TrimSpace(parts[2]), s.indent(i))
	return s.swap("while on "+s.at(i), i, by)
}

// leaves says whether anything in a loop's body leaves it or its turn.
func (s *Source) leaves(body int) bool {
	for k := body; k < s.tree.Next(body); k++ {
		if r := s.tree.Nodes[k].Role; r == syntax.Jump || r == syntax.Return {
			return true
		}
		if kind := s.tree.Kind(k); kind == "yield_expression" || kind == "await_expression" {
			return true
		}
	}
	return false
}
