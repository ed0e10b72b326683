package mutate

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"crisol/internal/syntax"
)

// Mutants are the ways to make a fix wrong, as people and programs get it wrong.
var Mutants = []Mutator{
	{"invert_condition", invertCondition},
	{"weaken_condition", weakenCondition},
	{"key_list", shortenList},
	{"narrow_regex", narrowRegex},
	{"guard_after_sink", moveGuard},
	{"wrong_variable", wrongVariable},
	{"unwrap_call", unwrapCall},
	{"constant_changed", changeConstant},
	{"return_removed", removeReturn},
	{"off_by_one", offByOne},
	{"statement_deleted", deleteStatement},
}

// Calling a Mutator on the same source twice gives the same edits in the same order.

func invertCondition(s *Source) (out []Edited) {
	for _, role := range []syntax.Role{syntax.If, syntax.Ternary, syntax.Loop} {
		for _, i := range s.tree.All(role) {
			if c := s.condition(i); c >= 0 && s.within(c) {
				out = append(out, s.swap("condition inverted on "+s.at(c), c, s.negate(s.tree.Text(c)))...)
			}
		}
	}
	return out
}

// weaker maps an operator to one that it is mistaken for.
var weaker = map[string]string{"===": "==", "!==": "!=", "==": "!=", "&&": "||", "||": "&&", "and": "or", "or": "and"}

func weakenCondition(s *Source) (out []Edited) {
	for _, i := range s.inside(syntax.Binary) {
		op := s.operator(i)
		left, right, ok := s.operands(i)
		if op < 0 || !ok {
			continue
		}
		by, known := weaker[s.tree.Text(op)]
		if !known {
			continue
		}
		if op := s.tree.Text(op); op == "&&" || op == "||" || op == "and" || op == "or" {
			out = append(out, s.swap("operand dropped on "+s.at(i), i, s.tree.Text(left))...)
			out = append(out, s.swap("operand dropped on "+s.at(i), i, s.tree.Text(right))...)
		}
		out = append(out, s.swap(fmt.Sprintf("%s becomes %s on %s", s.tree.Text(op), by, s.at(i)), op, by)...)
	}
	return out
}

// shortenList drops or misspells one of the strings that a guard lists.
func shortenList(s *Source) (out []Edited) {
	for _, i := range s.inside(syntax.Array) {
		items := s.tree.NamedChildren(i)
		if len(items) < 2 {
			continue
		}
		for k, item := range items {
			from, to := int(s.tree.Nodes[item].Start), int(s.tree.Nodes[item].End)
			if k+1 < len(items) {
				to = int(s.tree.Nodes[items[k+1]].Start)
			} else {
				from = int(s.tree.Nodes[items[k-1]].End)
			}
			out = append(out, s.edit("one of a list dropped on "+s.at(item), replacement{from, to, ""})...)
		}
	}
	for _, i := range s.inside(syntax.String) {
		if text := s.tree.Text(i); len(text) > 4 && !strings.ContainsAny(text, " \\") && s.tree.Ancestor(i, syntax.If, syntax.Ternary, syntax.Return, syntax.Case) >= 0 {
			out = append(out, s.swap("another key on "+s.at(i), i, text[:1]+text[2:])...)
		}
	}
	return out
}

var (
	quantifier = regexp.MustCompile(`([)\]\w.])([*+]|\{\d*,\d*\})`)
	class      = regexp.MustCompile(`\[\^?[^\]]{2,}\]`)
)

// narrowRegex makes a regular expression match other texts: without an alternative, a flag, an anchor, a quantifier or a
// member of a class.
func narrowRegex(s *Source) (out []Edited) {
	for _, i := range s.patterns() {
		for _, v := range narrowed(s.tree.Text(i)) {
			out = append(out, s.swap(v.note+" on "+s.at(i), i, v.text)...)
		}
	}
	return out
}

// patterns are the regular expressions in the spans: literals, and strings that a regular expression is made of.
func (s *Source) patterns() []int {
	list := s.inside(syntax.Regex)
	for _, i := range s.inside(syntax.String) {
		call := s.tree.Ancestor(int(s.tree.Nodes[i].Parent), syntax.Call)
		if call < 0 {
			continue
		}
		name := s.tree.Invocation(call).Callee
		if strings.Contains(name, "RegExp") || strings.HasPrefix(name, "re.") || strings.Contains(name, "ompile") || strings.HasPrefix(name, "regexp.") {
			list = append(list, i)
		}
	}
	slices.Sort(list)
	return list
}

// pattern is a regular expression that came of another.
type pattern struct{ text, note string }

func narrowed(literal string) (out []pattern) {
	add := func(note, text string) {
		if text != literal {
			out = append(out, pattern{text, note})
		}
	}
	if end := strings.LastIndexByte(literal, '/'); strings.HasPrefix(literal, "/") && end > 0 {
		for k := end + 1; k < len(literal); k++ {
			add("flag dropped", literal[:k]+literal[k+1:])
		}
	}
	for _, at := range class.FindAllStringIndex(literal, 2) {
		if inner := literal[at[0]:at[1]]; literal[at[1]-2] != '\\' && !strings.HasSuffix(inner, "-]") && inner[len(inner)-3] != '-' && inner[len(inner)-3] != '\\' {
			add("member of a class dropped", literal[:at[1]-2]+literal[at[1]-1:])
		}
	}
	for _, branch := range branches(literal) {
		add("alternative dropped", literal[:branch.start]+literal[branch.end:])
	}
	for _, at := range quantifier.FindAllStringSubmatchIndex(literal, 2) {
		add("quantifier dropped", literal[:at[4]]+literal[at[5]:])
	}
	for _, anchor := range []string{"^", "$", `\b`} {
		if k := strings.Index(literal, anchor); k > 0 && literal[k-1] != '[' && literal[k-1] != '\\' {
			add("anchor dropped", literal[:k]+literal[k+len(anchor):])
		}
	}
	return out
}

// branches are the stretches, each with a bar, whose removal drops one alternative.
func branches(literal string) (list []span) {
	inClass := false
	for k := 0; k < len(literal); k++ {
		switch c := literal[k]; {
		case c == '\\':
			k++
		case c == '[':
			inClass = true
		case c == ']':
			inClass = false
		case c == '|' && !inClass:
			end := k + 1
			for end < len(literal) && !strings.ContainsRune("|)/\"'`", rune(literal[end])) {
				if literal[end] == '\\' {
					end++
				}
				if end < len(literal) && (literal[end] == '(' || literal[end] == '[') {
					return list // what is nested is left alone
				}
				end++
			}
			if end <= len(literal) {
				list = append(list, span{k, end})
			}
		}
	}
	return list[:min(len(list), 4)]
}

// guards are the ifs in the spans that leave: whose body returns, throws or jumps, and that have no else.
func (s *Source) guards() (list []int) {
	for _, i := range s.inside(syntax.If) {
		if s.tree.Child(i, syntax.FieldAlternative) >= 0 || s.tree.Nodes[s.tree.Nodes[i].Parent].Role == syntax.Else {
			continue
		}
		body := s.tree.Child(i, syntax.FieldConsequence)
		if body < 0 {
			continue
		}
		for k := body; k < s.tree.Next(body); k++ {
			if r := s.tree.Nodes[k].Role; r == syntax.Return || r == syntax.Throw || r == syntax.Jump {
				list = append(list, i)
				break
			}
		}
	}
	return list
}

// moveGuard puts a guard after the statement that follows it, and after all that follow but the last.
func moveGuard(s *Source) (out []Edited) {
	for _, i := range append(s.guards(), s.inside(syntax.Statement)...) {
		var after []int
		for k := s.tree.NextSibling(i); k >= 0; k = s.tree.NextSibling(k) {
			if n := s.tree.Nodes[k]; n.Flags&syntax.Named != 0 && n.Role != syntax.Comment {
				after = append(after, k)
			}
		}
		if len(after) == 0 || s.tree.Nodes[s.tree.Nodes[i].Parent].Role == syntax.If {
			continue
		}
		move := func(past int) {
			end := int(s.tree.Nodes[past].End)
			by := s.Text[int(s.tree.Nodes[i].End):end] + "\n" + s.indent(i) + s.tree.Text(i)
			by = strings.TrimLeft(by, " \t\r\n;")
			out = append(out, s.edit("moved behind what follows on "+s.at(i), replacement{int(s.tree.Nodes[i].Start), end, by})...)
		}
		move(after[0])
		if len(after) > 2 {
			move(after[len(after)-2])
		}
	}
	return out
}

// wrongVariable uses another name of the same function.
func wrongVariable(s *Source) (out []Edited) {
	for _, i := range s.tree.Identifiers() {
		n := s.tree.Nodes[i]
		parent := s.tree.Nodes[n.Parent].Role
		if !s.within(i) || n.Field == syntax.FieldProperty || n.Field == syntax.FieldName || n.Field == syntax.FieldFunction || n.Field == syntax.FieldKey ||
			parent != syntax.Binary && parent != syntax.Arguments && parent != syntax.Subscript && parent != syntax.Member && parent != syntax.Unary {
			continue
		}
		others := s.variables(i)
		if k := slices.Index(others, s.tree.Text(i)); k >= 0 && len(others) > 1 {
			by := others[(k+1)%len(others)]
			out = append(out, s.swap(fmt.Sprintf("%s for %s on %s", by, s.tree.Text(i), s.at(i)), i, by)...)
		}
	}
	return out
}

// variables are the names that the function around a node takes as parameters or declares, in the order of the text.
func (s *Source) variables(i int) (names []string) {
	f := s.tree.Ancestor(i, syntax.Function)
	if f < 0 {
		return nil
	}
	add := func(name string) {
		if name != "" && name != "this" && name != "self" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, p := range s.params(f) {
		add(p.name)
	}
	for k := f; k < s.tree.Next(f); k++ {
		if s.tree.Nodes[k].Role == syntax.Declarator || s.tree.Nodes[k].Role == syntax.Assignment {
			if name := s.tree.Child(k, syntax.FieldName, syntax.FieldLeft); name >= 0 && s.tree.Nodes[name].Role == syntax.Identifier && s.tree.Nodes[name].Size == 1 {
				add(s.tree.Text(name))
			}
		}
	}
	return names
}

// unwrapCall takes what a call was given in place of what it makes of it.
func unwrapCall(s *Source) (out []Edited) {
	for _, i := range s.inside(syntax.Call) {
		call := s.tree.Invocation(i)
		if s.tree.Nodes[s.tree.Nodes[i].Parent].Role == syntax.Statement || call.Name == "require" {
			continue
		}
		if f := s.tree.Child(i, syntax.FieldFunction); f >= 0 && s.tree.Nodes[f].Role == syntax.Member {
			if object := s.tree.Child(f, syntax.FieldObject, syntax.FieldOperand, syntax.FieldArgument, syntax.FieldValue); object >= 0 {
				out = append(out, s.swap("without "+call.Name+" on "+s.at(i), i, s.tree.Text(object))...)
			}
		}
		if len(call.Args) > 0 {
			out = append(out, s.swap("without "+call.Name+" on "+s.at(i), i, s.tree.Text(call.Args[0]))...)
		}
	}
	return out
}

func changeConstant(s *Source) (out []Edited) {
	for _, i := range s.inside(syntax.Number) {
		n, err := strconv.Atoi(s.tree.Text(i))
		if err != nil {
			continue
		}
		by := []int{n * 1000, n / 10}
		if n < 2 {
			by = []int{1 - n}
		}
		for _, v := range by {
			out = append(out, s.swap(fmt.Sprintf("%d for %d on %s", v, n, s.at(i)), i, strconv.Itoa(v))...)
		}
	}
	for _, i := range s.inside(syntax.Literal) {
		if by, ok := map[string]string{"true": "false", "false": "true", "True": "False", "False": "True"}[s.tree.Text(i)]; ok {
			out = append(out, s.swap(by+" on "+s.at(i), i, by)...)
		}
	}
	for _, i := range s.inside(syntax.String) {
		if text := s.tree.Text(i); len(text) > 3 {
			out = append(out, s.swap("another text on "+s.at(i), i, text[:len(text)-2]+text[len(text)-1:])...)
		}
	}
	return out
}

// removeReturn lets control go on where the fix made it leave.
func removeReturn(s *Source) (out []Edited) {
	by := ";"
	switch s.Lang {
	case syntax.Python:
		by = "pass"
	case syntax.Go:
		by = "_ = 0"
	}
	for _, role := range []syntax.Role{syntax.Return, syntax.Throw, syntax.Jump} {
		for _, i := range s.inside(role) {
			out = append(out, s.swap("goes on at "+s.at(i), i, by)...)
		}
	}
	return out
}

var beside = map[string]string{"<": "<=", "<=": "<", ">": ">=", ">=": ">", "+": "-", "-": "+"}

func offByOne(s *Source) (out []Edited) {
	for _, i := range s.inside(syntax.Binary) {
		if op := s.operator(i); op >= 0 {
			if by, ok := beside[s.tree.Text(op)]; ok {
				out = append(out, s.swap(fmt.Sprintf("%s for %s on %s", by, s.tree.Text(op), s.at(i)), op, by)...)
			}
		}
	}
	for _, i := range s.inside(syntax.Number) {
		if n, err := strconv.Atoi(s.tree.Text(i)); err == nil {
			out = append(out, s.swap(fmt.Sprintf("%d for %d on %s", n+1, n, s.at(i)), i, strconv.Itoa(n+1))...)
		}
	}
	return out
}

// deleteStatement leaves one of the statements out.
func deleteStatement(s *Source) (out []Edited) {
	for i, n := range s.tree.Nodes {
		if n.Role != syntax.If && n.Role != syntax.Statement && n.Role != syntax.Loop && n.Role != syntax.Try || !s.within(i) {
			continue
		}
		by := ""
		if s.Lang == syntax.Python {
			by = "pass"
		}
		if parent := s.tree.Nodes[n.Parent].Role; parent == syntax.If || parent == syntax.Else || parent == syntax.Loop {
			by = "{}"
		}
		out = append(out, s.swap("without the statement on "+s.at(i), i, by)...)
	}
	return out
}
