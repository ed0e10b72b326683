package features

import (
	"slices"
	"sort"

	"crisol/internal/syntax"
)

// scope is a function, or a statement outside of any, that holds a change, with what matters in it.
type scope struct {
	node       int
	start, end int
	name       string
	sinks      []sink
	guards     []guard
	writes     []write
	branches   int // conditions, loops and cases
	nesting    int // of blocks
	tokens     int
}

// sink is a dangerous operation. Its variables are those that an attacker may hold, as far as the function shows where
// they come from.
type sink struct {
	node, start, end int
	vars             names
	own              int // changed tokens of its own, outside of its arguments' calls
	wrapped          bool
}

// write is an assignment.
type write struct {
	node, start, end int
	left, right      names
	newCall          bool // the value comes of a call that is new
}

// names are identifiers, by number, sorted.
type names []int32

func (n names) meets(o names) bool {
	for i, j := 0, 0; i < len(n) && j < len(o); {
		switch {
		case n[i] == o[j]:
			return true
		case n[i] < o[j]:
			i++
		default:
			j++
		}
	}
	return false
}

func (n names) with(o names) names {
	out := append(slices.Clone(n), o...)
	slices.Sort(out)
	return slices.Compact(out)
}

// reader reads the scopes of one side.
type reader struct {
	*side
	kind      weakness
	thesaurus thesaurus
	numbers   map[string]int32
	values    map[int32]int // the nodes of variables' first values, by the name's number
	functions []int         // nodes, in the order of the text
	work      int           // nodes that may still be looked at
}

// maxWork bounds the nodes that one side's analysis looks at, counting each time.
const maxWork = 400_000

func newReader(s *side, kind weakness, t thesaurus) *reader {
	r := &reader{side: s, kind: kind, thesaurus: t, numbers: map[string]int32{}, values: map[int32]int{}, work: maxWork}
	for i, n := range s.tree.Nodes {
		switch n.Role {
		case syntax.Function:
			r.functions = append(r.functions, i)
		case syntax.Declarator:
			r.declares(i)
		}
	}
	return r
}

// declares remembers the value of a variable that is given one where it is declared.
func (r *reader) declares(i int) {
	name := r.tree.Child(i, syntax.FieldName, syntax.FieldLeft, syntax.FieldPattern)
	value := r.tree.Child(i, syntax.FieldValue, syntax.FieldRight)
	if name >= 0 && value >= 0 && r.tree.Nodes[name].Size == 1 {
		r.values[r.number(r.tree.Bytes(name))] = value
	}
}

func (r *reader) number(name []byte) int32 {
	n, known := r.numbers[string(name)]
	if !known {
		n = int32(len(r.numbers))
		r.numbers[string(name)] = n
	}
	return n
}

// spend takes n nodes off the budget, and says whether it lasts.
func (r *reader) spend(n int) bool {
	r.work -= n
	return r.work > 0
}

// common are identifiers that say nothing about which value is meant.
var common = set("this self length prototype undefined Object Array String Math JSON console module exports require process Error RegExp null arguments std len Number Boolean Promise")

// identifiers are those in a subtree, without the names of what is called.
func (r *reader) identifiers(i int) names {
	if i < 0 || !r.spend(int(r.tree.Nodes[i].Size)) {
		return nil
	}
	var out names
	for at := i; at < r.tree.Next(i); at++ {
		n := r.tree.Nodes[at]
		if n.Role != syntax.Identifier || n.Size != 1 && r.lang != syntax.PHP {
			continue
		}
		if text := r.tree.Bytes(at); !common[string(text)] && !r.isCallee(at) {
			out = append(out, r.number(text))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// isCallee says whether an identifier is directly before the arguments of a call.
func (r *reader) isCallee(i int) bool {
	p := int(r.tree.Nodes[i].Parent)
	if p < 0 {
		return false
	}
	next := r.tree.Next(i)
	if r.tree.Nodes[p].Role == syntax.Call {
		return next < r.tree.Next(p) && r.tree.Nodes[next].Role == syntax.Arguments
	}
	if r.tree.Nodes[p].Role != syntax.Member || next < r.tree.Next(p) {
		return false
	}
	g := int(r.tree.Nodes[p].Parent)
	return g >= 0 && r.tree.Nodes[g].Role == syntax.Call && next < r.tree.Next(g) && r.tree.Nodes[next].Role == syntax.Arguments
}

// isNew says whether most tokens of a node are changed.
func (r *reader) isNew(i int) bool {
	changed, all := r.changedIn(int(r.tree.Nodes[i].Start), int(r.tree.Nodes[i].End))
	return changed > 0 && 2*changed > all
}

// isTouched says whether any token of a node is changed.
func (r *reader) isTouched(i int) bool {
	if i < 0 {
		return false
	}
	changed, _ := r.changedIn(int(r.tree.Nodes[i].Start), int(r.tree.Nodes[i].End))
	return changed > 0
}

// functionAt is the innermost function around a byte, or -1.
func (r *reader) functionAt(at int) int {
	i := sort.Search(len(r.functions), func(i int) bool { return int(r.tree.Nodes[r.functions[i]].Start) > at }) - 1
	if i < 0 {
		return -1
	}
	f := r.functions[i]
	for f >= 0 && int(r.tree.Nodes[f].End) <= at {
		f = r.tree.Ancestor(int(r.tree.Nodes[f].Parent), syntax.Function)
	}
	return f
}

// touched are the innermost functions with a changed token, and -1 if there is one outside of all.
func (r *reader) touched() []int {
	seen := map[int]bool{}
	var out []int
	last := -2
	for _, i := range r.changedTokens() {
		f := r.functionAt(int(r.tokens[i].Start))
		if f != last && !seen[f] {
			seen[f] = true
			out = append(out, f)
		}
		last = f
	}
	return out
}

// maxScopes bounds the scopes of one side.
const maxScopes = 64

// scopes are the functions around the changes: for each, the largest that is small enough to be one thing, or, outside
// of functions and in very large ones, the largest such statement.
func (r *reader) scopes() []*scope {
	seen := map[int]bool{}
	var out []*scope
	end := 0 // of the last scope
	for _, i := range r.changedTokens() {
		at := int(r.tokens[i].Start)
		if at < end && at >= out[len(out)-1].start {
			continue
		}
		node := r.unit(at, int(r.tokens[i].End))
		if seen[node] {
			continue
		}
		if len(out) == maxScopes {
			break
		}
		seen[node] = true
		out = append(out, r.read(node))
		end = out[len(out)-1].end
	}
	return out
}

// unit is the node that is the scope of a change.
func (r *reader) unit(start, end int) int {
	best := r.tree.Enclosing(start, end)
	function := -1
	for i := best; i > 0; i = int(r.tree.Nodes[i].Parent) {
		n := r.tree.Nodes[i]
		if int(n.End-n.Start) > maxUnit {
			break
		}
		best = i
		if n.Role == syntax.Function {
			function = i
		}
	}
	if function >= 0 {
		return function
	}
	return best
}

// read gathers what is in a scope.
func (r *reader) read(node int) *scope {
	n := r.tree.Nodes[node]
	s := &scope{node: node, start: int(n.Start), end: int(n.End)}
	if n.Role == syntax.Function {
		s.name = r.tree.FunctionName(node)
	}
	_, s.tokens = r.changedIn(s.start, s.end)
	if !r.spend(int(n.Size)) {
		return s
	}
	var depths []int // ends of the blocks that are open
	for i := node; i < r.tree.Next(node); i++ {
		for len(depths) > 0 && depths[len(depths)-1] <= i {
			depths = depths[:len(depths)-1]
		}
		switch r.tree.Nodes[i].Role {
		case syntax.Block:
			depths = append(depths, r.tree.Next(i))
			s.nesting = max(s.nesting, len(depths))
		case syntax.If, syntax.Ternary, syntax.Loop, syntax.Case, syntax.Catch:
			s.branches++
			s.guards = append(s.guards, r.guardOf(i)...)
		case syntax.Binary:
			s.guards = append(s.guards, r.logic(i)...)
		case syntax.Assignment, syntax.Declarator:
			s.writes = append(s.writes, r.writeAt(i))
			s.sinks = append(s.sinks, r.sinkWrite(i)...)
		case syntax.Call:
			s.sinks = append(s.sinks, r.sinkCall(i)...)
			s.guards = append(s.guards, r.assertion(i)...)
		case syntax.Subscript:
			s.sinks = append(s.sinks, r.sinkAccess(i)...)
		}
	}
	if len(s.sinks) > maxSinks {
		s.sinks = s.sinks[:maxSinks]
	}
	for i := range s.sinks {
		s.sinks[i].vars = s.flow(s.sinks[i])
	}
	return s
}

// maxSinks bounds the dangerous operations of one scope that are followed.
const maxSinks = 64

func (r *reader) writeAt(i int) write {
	n := r.tree.Nodes[i]
	left := r.tree.Child(i, syntax.FieldLeft, syntax.FieldName, syntax.FieldPattern, syntax.FieldDeclarator)
	right := r.tree.Child(i, syntax.FieldRight, syntax.FieldValue)
	w := write{node: i, start: int(n.Start), end: int(n.End), left: r.identifiers(left), right: r.identifiers(right)}
	w.newCall = r.hasNewCall(right, -1)
	return w
}

// hasNewCall says whether a subtree holds a call whose name is new, other than the one at except.
func (r *reader) hasNewCall(i, except int) bool {
	if !r.isTouched(i) || !r.spend(int(r.tree.Nodes[i].Size)) {
		return false
	}
	for at := i; at < r.tree.Next(i); at++ {
		if at != except && r.tree.Nodes[at].Role == syntax.Call && r.calleeChanged(at) {
			return true
		}
	}
	return false
}

// calleeChanged says whether the last token of what a call calls is changed.
func (r *reader) calleeChanged(i int) bool {
	args := r.tree.Child(i, syntax.FieldArguments)
	if args < 0 {
		args = r.tree.ChildOf(i, syntax.Arguments)
	}
	if args < 0 {
		return r.isTouched(i)
	}
	at := r.from(int(r.tree.Nodes[args].Start)) - 1
	return at >= 0 && int(r.tokens[at].Start) >= int(r.tree.Nodes[i].Start) && r.changed[at]
}

// flow are a sink's variables and those that they were made of before it.
func (s *scope) flow(k sink) names {
	vars := k.vars
	for range 3 {
		grown := false
		for i := len(s.writes) - 1; i >= 0; i-- {
			w := s.writes[i]
			if w.end <= k.start && w.left.meets(vars) {
				before := len(vars)
				vars = vars.with(w.right)
				grown = grown || len(vars) > before
			}
		}
		if !grown || len(vars) > 64 {
			break
		}
	}
	return vars
}

// sinkWrite is a write under a computed key, where that is what is dangerous.
func (r *reader) sinkWrite(i int) []sink {
	if r.kind == weakMarkup {
		return r.sinkMarkup(i)
	}
	if r.kind != weakPollution && r.kind != weakOther {
		return nil
	}
	left := r.tree.Child(i, syntax.FieldLeft)
	if left < 0 || r.tree.Nodes[left].Role != syntax.Subscript {
		return nil
	}
	key := r.tree.Child(left, syntax.FieldIndex)
	if key < 0 {
		if children := r.tree.NamedChildren(left); len(children) > 1 {
			key = children[1]
		}
	}
	if key < 0 || r.tree.Nodes[key].Role == syntax.String || r.tree.Nodes[key].Role == syntax.Number {
		return nil
	}
	return []sink{r.newSink(i, r.identifiers(key))}
}

// sinkMarkup is a value for innerHTML and its like.
func (r *reader) sinkMarkup(i int) []sink {
	left := r.tree.Child(i, syntax.FieldLeft)
	if left < 0 || r.tree.Nodes[left].Role != syntax.Member {
		return nil
	}
	property := r.tree.Child(left, syntax.FieldProperty)
	if property < 0 || exact[string(lower(r.tree.Bytes(property)))]&sinkMarkup == 0 {
		return nil
	}
	return []sink{r.newSink(i, r.identifiers(r.tree.Child(i, syntax.FieldRight)))}
}

func (r *reader) newSink(i int, vars names) sink {
	n := r.tree.Nodes[i]
	own, _ := r.changedIn(int(n.Start), int(n.End))
	return sink{node: i, start: int(n.Start), end: int(n.End), vars: vars, own: own}
}

// writers are calls that write under a key, which is their second argument.
var writers = set("defineProperty assignValue baseAssignValue setProperty __defineGetter__ __defineSetter__ setPath setValue setDeep defineProperties")

func (r *reader) sinkCall(i int) []sink {
	call := r.tree.Invocation(i)
	if len(call.Name) == 0 {
		return nil
	}
	if r.kind == weakPollution {
		if writers[call.Name] && len(call.Args) > 1 {
			return []sink{r.newSink(i, r.identifiers(call.Args[1]))}
		}
		return nil
	}
	senses := exact[string(lower([]byte(call.Name)))] & r.kind.sinks()
	if senses == 0 || senses == sinkExec && r.isMatcher(i, call) {
		return nil
	}
	var vars names
	for _, arg := range call.Args {
		vars = vars.with(r.identifiers(arg))
	}
	if r.kind == weakRedos { // what is matched may be the receiver: text.match(expression)
		vars = vars.with(r.receiver(i))
	}
	if len(vars) == 0 {
		return nil // constants alone
	}
	k := r.newSink(i, vars)
	for _, arg := range call.Args {
		k.wrapped = k.wrapped || r.hasNewCall(arg, i)
	}
	return []sink{k}
}

// receiver are the identifiers of what a method is called on.
func (r *reader) receiver(i int) names {
	callee := r.tree.Child(i, syntax.FieldFunction, syntax.FieldObject)
	if callee >= 0 && r.tree.Nodes[callee].Role == syntax.Member {
		callee = r.tree.FirstChild(callee)
	}
	return r.identifiers(callee)
}

// isMatcher tells the exec of a regular expression from that of a command.
func (r *reader) isMatcher(i int, call syntax.Invocation) bool {
	if call.Name != "exec" {
		return false
	}
	callee := r.tree.Child(i, syntax.FieldFunction)
	if callee < 0 || r.tree.Nodes[callee].Role != syntax.Member {
		return false
	}
	object := r.tree.FirstChild(callee)
	if r.tree.Nodes[object].Role == syntax.Regex {
		return true
	}
	if value, known := r.values[r.number(r.tree.Bytes(object))]; known && r.tree.Nodes[value].Role == syntax.Regex {
		return true
	}
	for part := range parts(r.tree.Bytes(object)) {
		if part == "re" || part == "regex" || part == "regexp" || part == "pattern" || part == "rx" {
			return true
		}
	}
	return false
}

// sinkAccess is an element of an array, where memory is at stake.
func (r *reader) sinkAccess(i int) []sink {
	if r.kind != weakMemory {
		return nil
	}
	if vars := r.identifiers(i); len(vars) > 0 {
		return []sink{r.newSink(i, vars)}
	}
	return nil
}

func lower(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		out[i] = c
	}
	return out
}
