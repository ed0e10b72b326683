package syntax

import "strings"

// Flags say what is particular about a node.
type Flags uint8

// The flags. HasError is set on every node that an Error or a Missing node lies in.
const (
	Named Flags = 1 << iota
	Error
	Missing
	Extra
	HasError
)

// Node is one node of a tree. It has the layout of syntax_node in shim.h.
type Node struct {
	Start, End uint32 // bytes of the source, End excluded
	Row        uint32 // of the start, from 0
	Size       uint32 // nodes of the subtree, this one among them: the next node outside is at index + Size
	Parent     int32  // index; -1 for the root
	Kind       uint16 // the grammar's own number; Tree.Kind names it
	Field      Field
	Flags      Flags
	Role       Role
}

// Tree is a parsed text. Nodes are in the order of the text, parents before children; the root is the first.
type Tree struct {
	Lang    Language
	Source  []byte
	Nodes   []Node
	Steps   int // what parsing took; see Limits
	grammar *grammar
}

// Kind is the grammar's name of a node's kind, such as "call_expression".
func (t *Tree) Kind(i int) string { return t.grammar.kind(t.Nodes[i].Kind) }

// Bytes is the source of a node.
func (t *Tree) Bytes(i int) []byte { return t.Source[t.Nodes[i].Start:t.Nodes[i].End] }

// Text is the source of a node.
func (t *Tree) Text(i int) string { return string(t.Bytes(i)) }

// HasError says whether the grammar found an error anywhere.
func (t *Tree) HasError() bool { return t.Nodes[0].Flags&HasError != 0 }

// Next is the index of the first node after i's subtree.
func (t *Tree) Next(i int) int { return i + int(t.Nodes[i].Size) }

// FirstChild is the index of i's first child, or -1.
func (t *Tree) FirstChild(i int) int {
	if t.Nodes[i].Size > 1 {
		return i + 1
	}
	return -1
}

// NextSibling is the index of the child after i of the same parent, or -1.
func (t *Tree) NextSibling(i int) int {
	parent := int(t.Nodes[i].Parent)
	if next := t.Next(i); parent >= 0 && next < t.Next(parent) {
		return next
	}
	return -1
}

// Child is the index of i's first child in one of the fields, or -1.
func (t *Tree) Child(i int, fields ...Field) int {
	for child := t.FirstChild(i); child >= 0; child = t.NextSibling(child) {
		for _, field := range fields {
			if t.Nodes[child].Field == field {
				return child
			}
		}
	}
	return -1
}

// ChildOf is the index of i's first child with the role, or -1.
func (t *Tree) ChildOf(i int, role Role) int {
	for child := t.FirstChild(i); child >= 0; child = t.NextSibling(child) {
		if t.Nodes[child].Role == role {
			return child
		}
	}
	return -1
}

// NamedChildren are the indices of i's named children, comments left out.
func (t *Tree) NamedChildren(i int) []int {
	var out []int
	for child := t.FirstChild(i); child >= 0; child = t.NextSibling(child) {
		if t.Nodes[child].Flags&Named != 0 && t.Nodes[child].Role != Comment {
			out = append(out, child)
		}
	}
	return out
}

// Enclosing is the smallest node that the bytes from start to end lie in.
func (t *Tree) Enclosing(start, end int) int {
	found := 0
	for child := t.FirstChild(0); child >= 0; {
		n := t.Nodes[child]
		if int(n.Start) <= start && end <= int(n.End) {
			found, child = child, t.FirstChild(child)
			continue
		}
		child = t.NextSibling(child)
	}
	return found
}

// Ancestor is the nearest node above i, or i itself, that has one of the roles, or -1.
func (t *Tree) Ancestor(i int, among ...Role) int {
	for ; i >= 0; i = int(t.Nodes[i].Parent) {
		for _, role := range among {
			if t.Nodes[i].Role == role {
				return i
			}
		}
	}
	return -1
}

// EnclosingFunction is the innermost function that the bytes from start to end lie in, or -1.
func (t *Tree) EnclosingFunction(start, end int) int {
	return t.Ancestor(t.Enclosing(start, end), Function)
}

// All are the indices of the nodes with the role, in the order of the text.
func (t *Tree) All(role Role) []int {
	var out []int
	for i := range t.Nodes {
		if t.Nodes[i].Role == role {
			out = append(out, i)
		}
	}
	return out
}

// Definition is a function with a body.
type Definition struct {
	Node int
	// Name is the last part of what it is called or assigned to: "get" for module.exports.get = function () {}. It is ""
	// for a function without a name.
	Name       string
	Start, End int // bytes
	Body       int // node, or -1
}

// Functions are all functions, inner ones after the outer ones that they lie in.
func (t *Tree) Functions() []Definition {
	var out []Definition
	for i := range t.Nodes {
		if n := t.Nodes[i]; n.Role == Function {
			out = append(out, Definition{Node: i, Name: t.FunctionName(i), Start: int(n.Start), End: int(n.End), Body: t.Child(i, FieldBody)})
		}
	}
	return out
}

// FunctionName is what the function at i is called; see Definition.
func (t *Tree) FunctionName(i int) string {
	if name := t.Child(i, FieldName); name >= 0 {
		return t.lastIdentifier(name)
	}
	if declarator := t.Child(i, FieldDeclarator); declarator >= 0 { // C: the name is inside declarators
		for t.Child(declarator, FieldDeclarator) >= 0 {
			declarator = t.Child(declarator, FieldDeclarator)
		}
		return t.lastIdentifier(declarator)
	}
	for child, parent := i, int(t.Nodes[i].Parent); parent >= 0; child, parent = parent, int(t.Nodes[parent].Parent) {
		switch t.Nodes[parent].Role {
		case Declarator, Assignment, Pair:
			if name := t.Child(parent, FieldName, FieldLeft, FieldKey, FieldProperty); name >= 0 && name != child {
				return t.lastIdentifier(name)
			}
			return ""
		case Parenthesized, Binary:
		default:
			return ""
		}
	}
	return ""
}

// lastIdentifier is the last identifier or simple string in i's subtree.
func (t *Tree) lastIdentifier(i int) string {
	for at := t.Next(i) - 1; at >= i; at-- {
		switch t.Nodes[at].Role {
		case Identifier:
			return strings.TrimPrefix(t.Text(at), "$")
		case String:
			return strings.Trim(t.Text(at), "\"'`")
		}
	}
	return ""
}

// Invocation is a call, the making of an object, or the use of a macro.
type Invocation struct {
	Node int
	// Callee is what is called, as written: "child_process.exec", "String", "format!". Name is its last identifier.
	Callee, Name string
	Args         []int // nodes of the arguments
}

// Calls are all calls, outer ones before those in their arguments.
func (t *Tree) Calls() []Invocation {
	var out []Invocation
	for i := range t.Nodes {
		if t.Nodes[i].Role == Call {
			out = append(out, t.Invocation(i))
		}
	}
	return out
}

// Invocation reads the call at node i.
func (t *Tree) Invocation(i int) Invocation {
	n := t.Nodes[i]
	call := Invocation{Node: i}
	args := t.Child(i, FieldArguments)
	if args < 0 {
		args = t.ChildOf(i, Arguments)
	}
	if args < 0 { // new X, include "y", echo z
		call.Callee = strings.TrimPrefix(t.Text(i), "new ")
		if callee := t.Child(i, FieldFunction, FieldConstructor, FieldMacro); callee >= 0 {
			call.Callee, call.Name = t.Text(callee), t.lastIdentifier(callee)
			return call
		}
		if first := t.FirstChild(i); first >= 0 {
			call.Callee = t.Text(first)
			call.Args = t.NamedChildren(i)
		}
		call.Name = call.Callee
		return call
	}
	call.Callee = strings.TrimSpace(strings.TrimPrefix(string(t.Source[n.Start:t.Nodes[args].Start]), "new "))
	for at := args - 1; at > i; at-- {
		if t.Nodes[at].Role == Identifier {
			call.Name = strings.TrimPrefix(t.Text(at), "$")
			break
		}
	}
	call.Args = t.NamedChildren(args)
	return call
}

// Tokens are the leaves of the tree without comments. A string without expressions in it and a regular expression are
// one token each.
func (t *Tree) Tokens() []Token {
	out := make([]Token, 0, len(t.Nodes)/2)
	for i := 0; i < len(t.Nodes); {
		n := t.Nodes[i]
		whole := n.Size == 1 || n.Role == Regex || n.Role == Comment || (n.Role == String || n.Role == Template) && !t.hasExpressions(i) || t.Lang == PHP && n.Role == Identifier
		if whole && n.Role != Comment && n.End > n.Start {
			out = append(out, Token{Kind: t.tokenKind(i), Start: n.Start, End: n.End})
		}
		if whole {
			i = t.Next(i)
		} else {
			i++
		}
	}
	return out
}

func (t *Tree) hasExpressions(i int) bool {
	for at := i + 1; at < t.Next(i); at++ {
		switch t.Nodes[at].Role {
		case Identifier, Call, Binary, Member:
			return true
		}
	}
	return false
}

func (t *Tree) tokenKind(i int) TokenKind {
	n := t.Nodes[i]
	switch n.Role {
	case Identifier, Literal:
		return Word
	case Number:
		return Numeral
	case String, Template:
		return Text
	case Regex:
		return Pattern
	}
	if isWordByte(t.Source[n.Start]) && n.Flags&Named == 0 {
		return Word
	}
	if n.Flags&Named != 0 && n.Parent >= 0 {
		switch t.Nodes[n.Parent].Role {
		case String, Template:
			return Text
		}
		if isWordByte(t.Source[n.Start]) {
			return Word
		}
	}
	return Operator
}

// Comments are the indices of all comments.
func (t *Tree) Comments() []int { return t.All(Comment) }

// Identifiers are the indices of all identifiers that are leaves.
func (t *Tree) Identifiers() []int {
	var out []int
	for i := range t.Nodes {
		if n := t.Nodes[i]; n.Role == Identifier && (n.Size == 1 || t.Lang == PHP && t.Kind(i) == "variable_name") {
			out = append(out, i)
		}
	}
	return out
}
