package features

import (
	"bytes"
	"strings"

	"crisol/internal/syntax"
)

// binding is a name that is declared for a stretch of nodes: a function, a block, a loop, or the file.
type binding struct {
	scope    int  // the node; 0 is the whole file
	at       int  // the first node that declares the name there
	value    int  // the declaration's node where it is the only one and gives a value, else -1
	uses     int  // that meet this binding
	internal bool // inside of a function
}

// bindings are the names of one side and where they hold: an approximation of each language's rules that would rather take
// a name for declared.
type bindings struct {
	*reader
	of        map[string][]binding
	declaring []bool         // by node: it is part of a declaration, not a use
	free      map[string]int // uses that meet no binding, by name
}

// resolves says whether names of a language can be told from one file alone.
func resolves(l syntax.Language) bool {
	return isScript(l) || l == syntax.Python || l == syntax.Go || l == syntax.Java || l == syntax.Rust || l == syntax.PlainC
}

// bind reads the declarations, and then what each name means.
func (r *reader) bind() *bindings {
	b := &bindings{reader: r, of: map[string][]binding{}, declaring: make([]bool, len(r.tree.Nodes)), free: map[string]int{}}
	if !r.spend(2 * len(r.tree.Nodes)) {
		return b
	}
	for i := range r.tree.Nodes {
		b.declares(i)
	}
	for i := range r.tree.Nodes {
		if b.isUse(i) {
			b.use(i)
		}
	}
	return b
}

// declares binds what node i declares.
func (b *bindings) declares(i int) {
	n := b.tree.Nodes[i]
	switch n.Role {
	case syntax.Function:
		b.function(i)
	case syntax.Class:
		b.names(b.tree.Child(i, syntax.FieldName), b.scopeOf(i), -1)
	case syntax.Declarator:
		b.fields(i, b.scopeOf(i), b.tree.Child(i, syntax.FieldValue, syntax.FieldRight))
	case syntax.Assignment:
		left := b.tree.Child(i, syntax.FieldLeft, syntax.FieldName)
		switch {
		case left < 0:
		case b.lang == syntax.Python:
			b.targets(left)
		case isScript(b.lang) && b.tree.Nodes[left].Size == 1 && !b.bound(b.tree.Text(left), left): // a global that nothing declares
			b.add(b.tree.Text(left), 0, left, i)
		}
	case syntax.Import:
		b.imports(i)
	case syntax.Loop:
		for child := b.tree.FirstChild(i); child >= 0; child = b.tree.NextSibling(child) {
			switch b.tree.Nodes[child].Field {
			case syntax.FieldLeft, syntax.FieldName, syntax.FieldPattern:
				b.names(child, b.hoisted(i, i), -1)
			}
		}
	case syntax.Catch, syntax.Case:
		b.names(b.tree.Child(i, syntax.FieldParameters, syntax.FieldPattern), i, -1)
	case syntax.Switch: // switch x := y.(type)
		for child := b.tree.FirstChild(i); b.lang == syntax.Go && child >= 0; child = b.tree.NextSibling(child) {
			if b.tree.Kind(child) == "expression_list" {
				b.names(child, i, -1)
			}
		}
	case syntax.NoRole, syntax.Binary, syntax.Parameters:
		b.other(i)
	}
}

// other binds what declares in one language or another.
func (b *bindings) other(i int) {
	switch b.tree.Kind(i) {
	case "for_in_clause", "as_pattern_target", "global_statement", "nonlocal_statement", "case_pattern", "catch_formal_parameter":
		b.names(i, b.scopeOf(i), -1)
	case "range_clause", "receive_statement", "let_condition", "resource", "instanceof_expression", "enumerator", "preproc_def", "preproc_function_def", "type_pattern", "record_pattern":
		b.fields(i, b.scopeOf(i), -1)
		if b.lang == syntax.Java { // instanceof binds for what follows, too
			b.fields(i, b.functionOf(i), -1)
		}
	case "declaration", "parameter_declaration":
		if b.lang == syntax.PlainC {
			b.fields(i, b.scopeOf(i), -1)
		}
	}
}

// function binds a function's name around it and its parameters inside.
func (b *bindings) function(i int) {
	b.names(b.tree.Child(i, syntax.FieldName), b.scopeOf(i), -1)
	if declarator := b.tree.Child(i, syntax.FieldDeclarator); declarator >= 0 {
		b.names(declarator, b.scopeOf(i), -1)
		b.names(declarator, i, -1)
	}
	for child := b.tree.FirstChild(i); child >= 0; child = b.tree.NextSibling(child) {
		if n := b.tree.Nodes[child]; n.Role == syntax.Parameters || n.Field == syntax.FieldParameters {
			b.names(child, i, -1)
		}
	}
}

// fields binds the children that hold names, patterns or declarators.
func (b *bindings) fields(i, scope, value int) {
	for child := b.tree.FirstChild(i); child >= 0; child = b.tree.NextSibling(child) {
		switch b.tree.Nodes[child].Field {
		case syntax.FieldName, syntax.FieldLeft, syntax.FieldPattern, syntax.FieldDeclarator:
			given := -1
			if value >= 0 {
				given = i
			}
			b.names(child, scope, given)
		}
	}
}

// targets binds the names that a Python assignment gives values: a, or (a, b), and neither a.b nor a[b].
func (b *bindings) targets(left int) {
	for at := left; at < b.tree.Next(left); {
		switch b.tree.Nodes[at].Role {
		case syntax.Member, syntax.Subscript, syntax.Call:
			at = b.tree.Next(at)
			continue
		case syntax.Identifier:
			if b.tree.Nodes[at].Size == 1 {
				b.declaring[at] = true
				b.add(b.tree.Text(at), b.functionOf(at), at, -1)
			}
		}
		at++
	}
}

// imports binds the names that an import brings: all in it, and the parts of a Go path.
func (b *bindings) imports(i int) {
	b.names(i, 0, -1)
	if b.lang == syntax.Rust {
		b.names(i, b.scopeOf(i), -1)
	}
	if b.lang != syntax.Go {
		return
	}
	for at := i; at < b.tree.Next(i); at++ {
		if b.tree.Nodes[at].Role == syntax.String {
			for part := range strings.FieldsFuncSeq(b.tree.Text(at), func(c rune) bool { return strings.ContainsRune("\"`/.-", c) }) {
				b.add(part, 0, at, -1)
			}
		}
	}
}

// names binds the identifiers in a subtree; value is the declaration's node if it gives a value.
func (b *bindings) names(i, scope, value int) {
	if i < 0 {
		return
	}
	for at := i; at < b.tree.Next(i); at++ {
		if n := b.tree.Nodes[at]; n.Role == syntax.Identifier && n.Size == 1 {
			b.declaring[at] = true
			b.add(b.tree.Text(at), scope, at, value)
		}
	}
}

func (b *bindings) add(name string, scope, at, value int) {
	if name == "" { // the parser puts in what is missing
		return
	}
	list := b.of[name]
	for i := range list {
		if list[i].scope == scope {
			list[i].value = -1
			return
		}
	}
	b.of[name] = append(list, binding{scope: scope, at: at, value: value, internal: scope > 0 && b.functionOf(scope+1) > 0})
}

// bound says whether a name is declared around node i, as far as was read.
func (b *bindings) bound(name string, i int) bool {
	for _, k := range b.of[name] {
		if k.scope <= i && i < b.tree.Next(k.scope) {
			return true
		}
	}
	return false
}

// scopeOf is the node that a declaration at i holds for.
func (b *bindings) scopeOf(i int) int {
	p := int(b.tree.Nodes[i].Parent)
	if b.lang == syntax.Python || isScript(b.lang) && p >= 0 && b.tree.Nodes[i].Role == syntax.Declarator && bytes.HasPrefix(b.tree.Bytes(p), []byte("var")) {
		return b.functionOf(i)
	}
	for ; p > 0; p = int(b.tree.Nodes[p].Parent) {
		switch b.tree.Nodes[p].Role {
		case syntax.Block, syntax.Function, syntax.Loop, syntax.Catch, syntax.Case, syntax.Switch, syntax.Try:
			return p
		case syntax.If:
			if !strings.HasPrefix(b.tree.Kind(p), "preproc") {
				return p
			}
		}
	}
	return 0
}

// hoisted is where a loop's own names hold.
func (b *bindings) hoisted(i, scope int) int {
	if b.lang == syntax.Python || isScript(b.lang) && bytes.Contains(b.tree.Bytes(i)[:min(16, len(b.tree.Bytes(i)))], []byte("var ")) {
		return b.functionOf(i)
	}
	return scope
}

// functionOf is the innermost function above a node, or 0.
func (b *bindings) functionOf(i int) int {
	return max(0, b.tree.Ancestor(int(b.tree.Nodes[i].Parent), syntax.Function))
}

// use counts the use at node i for the innermost binding around it. A use in the declaration's own value, or before the
// declaration in the same function, meets none.
func (b *bindings) use(i int) {
	name := b.tree.Text(i)
	best := -1
	list := b.of[name]
	for k := range list {
		if s := list[k].scope; s <= i && i < b.tree.Next(s) && (best < 0 || s > list[best].scope) && !b.premature(i, list[k]) {
			best = k
		}
	}
	if best < 0 {
		b.free[name]++
		return
	}
	list[best].uses++
}

// premature says whether a use stands before the end of the only declaration of a variable of a function, where it has no
// value yet.
func (b *bindings) premature(i int, k binding) bool {
	if k.value < 0 || i >= b.tree.Next(k.value) || b.lang == syntax.Python || b.lang == syntax.PlainC {
		return false
	}
	function := b.functionOf(i)
	if function != b.functionOf(k.value) || function == 0 {
		return false
	}
	return i > k.value || b.tree.Ancestor(i, syntax.Loop) < 0
}

// outside are names that need no declaration in languages other than scripts and Python.
var outside = set("stdin stdout stderr errno environ java javax org com net io std core alloc crate string byte rune error any len cap make append iota __func__ __FILE__ __LINE__ va_list size_t")

// isUse says whether node i is a name whose meaning has to be looked for.
func (b *bindings) isUse(i int) bool {
	n := b.tree.Nodes[i]
	if n.Role != syntax.Identifier || n.Size != 1 || b.declaring[i] || n.Parent < 0 || n.Start == n.End { // the parser puts in what is missing
		return false
	}
	text := b.tree.Bytes(i)
	if kind := b.tree.Kind(i); kind != "identifier" && kind != "shorthand_property_identifier" || b.isGlobal(text) {
		return false
	}
	if n.Field == syntax.FieldProperty || n.Field == syntax.FieldKey {
		return false
	}
	parent := b.tree.Nodes[n.Parent]
	switch parent.Role {
	case syntax.Member:
		if int(n.Parent)+1 != i {
			return false
		}
	case syntax.Pair:
		if int(n.Parent)+1 == i {
			return false
		}
	case syntax.Call:
		if n.Field == syntax.FieldName {
			return false
		}
	case syntax.Parameters, syntax.Jump, syntax.Import:
		return false
	}
	switch kind := b.tree.Kind(int(n.Parent)); {
	case strings.HasPrefix(kind, "jsx"), strings.HasPrefix(kind, "preproc"), strings.Contains(kind, "annotation"), kind == "export_specifier", kind == "labeled_statement",
		kind == "token_tree", kind == "literal_element" && b.tree.Nodes[parent.Parent].Role == syntax.Pair, kind == "field_initializer":
		return false
	}
	return isScript(b.lang) && b.lang != syntax.TypeScript && b.lang != syntax.TSX || b.lang == syntax.Python || b.isLocal(i, text)
}

// isLocal says whether a name that the file doesn't declare would be a mistake: constants, types and functions may come from
// other files.
func (b *bindings) isLocal(i int, text []byte) bool {
	if outside[string(text)] || text[0] < 'a' || text[0] > 'z' {
		return false
	}
	if b.lang == syntax.TypeScript || b.lang == syntax.TSX {
		for p, steps := i, 0; p >= 0 && steps < 5; p, steps = int(b.tree.Nodes[p].Parent), steps+1 {
			if b.tree.Nodes[p].Role == syntax.Parameters {
				return false
			}
		}
		return true
	}
	return !b.isCallee(i)
}

// isGlobal says whether a name needs no declaration in the language.
func (b *bindings) isGlobal(text []byte) bool {
	switch {
	case b.lang == syntax.Python:
		return pythonGlobals[string(text)]
	case isScript(b.lang):
		return scriptGlobals[string(text)]
	}
	return false
}

// unresolved counts names whose uses meet no declaration though all did, or none was there, before the patch. In languages
// whose files share names, and where a source was cut to scraps, only some names can be told.
func unresolved(before, after *bindings) int {
	n := 0
	scraps := before.scraps || after.scraps
	var full, old *side
	for name := range after.free {
		if before.free[name] > 0 || !isScript(after.lang) && after.lang != syntax.Python && before.of[name] == nil && after.of[name] == nil && !goPackages[name] {
			continue
		}
		if full == nil {
			full, old = after.whole(), before.whole()
		}
		if scraps && old.mentions(name) || full.defines(name, scraps) {
			continue
		}
		n++
	}
	return n
}

// goPackages are the names of packages that come with Go and that its files use without a declaration only by mistake.
var goPackages = set("strings strconv fmt filepath errors bytes regexp ioutil http json log sort utf8 unicode slices maps bufio context sync")

func (s *side) mentions(name string) bool {
	for _, t := range s.tokens {
		if t.Kind == syntax.Word && string(s.text(t)) == name {
			return true
		}
	}
	return false
}

// defines says whether a function or class of that name stands in the whole source: its declaration may have been left out
// of what was parsed. With any, whatever declares counts.
func (s *side) defines(name string, anyhow bool) bool {
	for i, t := range s.tokens {
		if t.Kind != syntax.Word || string(s.text(t)) != name {
			continue
		}
		switch s.near(i, -1) {
		case "function", "class", "def", "func", "fn", "*":
			return true
		}
		if anyhow && s.declares(i) {
			return true
		}
	}
	return false
}

// idle counts the variables and parameters in functions that nothing reads after the patch, and that either were read
// before or weren't there.
func idle(before, after *bindings) int {
	was := before.idleNames(func(int) bool { return true })
	n := 0
	for name := range after.idleNames(after.isTouched) {
		n += one(!was[name])
	}
	return n
}

// idleNames are the names of variables that nothing reads, with the names of their functions, where in holds of those.
func (b *bindings) idleNames(in func(int) bool) map[string]bool {
	out := map[string]bool{}
	for name, list := range b.of {
		for _, k := range list {
			if k.uses == 0 && k.internal && b.isVariable(name, k) && in(b.functionOf(k.scope+1)) {
				out[name+" "+b.tree.FunctionName(max(0, b.functionOf(k.scope+1)))] = true
			}
		}
	}
	return out
}

// isVariable says whether a binding is of a name that somebody ought to read.
func (b *bindings) isVariable(name string, k binding) bool {
	if name[0] == '_' || name == "self" || name == "cls" || b.lang == syntax.Rust && name[0] >= 'A' && name[0] <= 'Z' {
		return false
	}
	return b.tree.Kind(k.at) == "identifier"
}

// refused counts what Go's compiler refuses: variables with a value that nothing reads, and imports that nothing uses.
func (b *bindings) refused() int {
	if b.lang != syntax.Go || b.scraps {
		return 0
	}
	n := 0
	for name, list := range b.of {
		for _, k := range list {
			n += one(k.uses == 0 && k.value >= 0 && k.internal && name != "_" && b.isTouched(k.value))
		}
	}
	words := map[string]int(nil)
	for i := range b.tree.Nodes {
		if b.tree.Kind(i) != "import_spec" || b.tree.Child(i, syntax.FieldName) >= 0 {
			continue
		}
		if words == nil {
			words = wordCounts(b.side)
		}
		path := strings.Trim(b.tree.Text(i), "\"` ")
		n += one(goPackages[lastSegment(path)] && words[lastSegment(path)] == 0)
	}
	return n
}

// wordCounts counts the words of a whole source.
func wordCounts(s *side) map[string]int {
	out := make(map[string]int, 256)
	for _, t := range s.full {
		if t.Kind == syntax.Word {
			out[string(t.Of(s.fullSrc))]++
		}
	}
	return out
}
