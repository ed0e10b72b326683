package mutate

import (
	"slices"
	"strings"

	"crisol/internal/syntax"
)

// param is a parameter of a function.
type param struct {
	name string
	text string // as it is written, with its type
}

// params lists the parameters of a function.
func (s *Source) params(f int) (list []param) {
	parameters := s.tree.Child(f, syntax.FieldParameters)
	if parameters < 0 {
		parameters = s.tree.ChildOf(f, syntax.Parameters)
	}
	if parameters < 0 {
		return nil
	}
	if s.tree.Nodes[parameters].Role == syntax.Identifier { // an arrow function of one
		return []param{{s.tree.Text(parameters), s.tree.Text(parameters)}}
	}
	for _, child := range s.tree.NamedChildren(parameters) {
		for _, name := range s.paramNames(child) {
			if name != "" && name != "self" && name != "cls" && name != "this" {
				list = append(list, param{name, s.tree.Text(child)})
			}
		}
	}
	return list
}

// paramNames are the names of a parameter: one, but for a declaration of Go's of several of a type.
func (s *Source) paramNames(i int) (names []string) {
	if s.Lang != syntax.Go {
		return []string{s.paramName(i)}
	}
	for child := s.tree.FirstChild(i); child >= 0; child = s.tree.NextSibling(child) {
		if s.tree.Nodes[child].Field == syntax.FieldName {
			names = append(names, s.tree.Text(child))
		}
	}
	return names
}

// paramName is the name of a parameter; "" for a pattern that has several.
func (s *Source) paramName(i int) string {
	if s.tree.Nodes[i].Role == syntax.Identifier {
		return s.tree.Text(i)
	}
	if name := s.tree.Child(i, syntax.FieldName, syntax.FieldLeft, syntax.FieldPattern); name >= 0 {
		if s.tree.Nodes[name].Role == syntax.Identifier {
			return s.tree.Text(name)
		}
		return ""
	}
	for k := i; k < s.tree.Next(i); k++ { // C, and a type hint of Python
		if n := s.tree.Nodes[k]; n.Role == syntax.Identifier && n.Size == 1 && s.tree.Kind(k) == "identifier" {
			return s.tree.Text(k)
		}
	}
	return ""
}

// function is one that a fix touches, or that edits are wanted in.
type function struct {
	node, body int
	name       string
	params     []param
}

// functions lists the functions that the spans lie in, the innermost of each, and those that begin in one; all functions,
// where there are none such. Those without a body in braces, or their like, are left out.
func (s *Source) functions() (list []function) {
	var all []function
	near := map[int]bool{}
	for _, d := range s.tree.Functions() {
		if d.Body >= 0 && s.tree.Nodes[d.Body].Role == syntax.Block {
			all = append(all, function{d.Node, d.Body, d.Name, s.params(d.Node)})
		}
	}
	for _, p := range s.spans {
		innermost := -1
		for k, f := range all { // outer ones come before those in them
			n := s.tree.Nodes[f.node]
			switch {
			case int(n.Start) <= p.start && p.start < int(n.End):
				innermost = k
			case p.start <= int(n.Start) && int(n.Start) < p.end:
				near[k] = true
			}
		}
		near[innermost] = true
	}
	for k, f := range all {
		if near[k] {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		list = all
	}
	slices.Reverse(list)
	return list
}

// enter puts statements at the start of a function's body.
func (s *Source) enter(f function, code string) replacement {
	children := s.tree.NamedChildren(f.body)
	if s.Lang == syntax.Python {
		first := f.body
		if len(children) > 0 {
			first = children[0]
			if s.tree.Nodes[first].Role == syntax.Statement && len(children) > 1 && strings.HasPrefix(strings.TrimLeft(s.tree.Text(first), "rRuU"), `"""`) {
				first = children[1]
			}
		}
		at := int(s.tree.Nodes[first].Start)
		return replacement{at, at, indented(code, s.indent(first)) + "\n" + s.indent(first)}
	}
	at := int(s.tree.Nodes[f.body].Start) + 1
	inner := s.indent(f.node) + "  "
	if len(children) > 0 {
		inner = s.indent(children[0])
		if first := children[0]; s.Text[at:s.tree.Nodes[first].Start] != "" && isDirective(s.tree.Text(first)) {
			at = int(s.tree.Nodes[first].End)
		}
	}
	return replacement{at, at, "\n" + inner + indented(code, inner)}
}

// isDirective says whether a statement is "use strict" or the like, which must come first.
func isDirective(text string) bool {
	return strings.HasPrefix(text, `"use `) || strings.HasPrefix(text, `'use `)
}

// indented puts white space before every line but the first.
func indented(code, with string) string { return strings.ReplaceAll(code, "\n", "\n"+with) }
