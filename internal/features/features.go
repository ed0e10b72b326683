// Package features turns a vulnerability and a patch into numbers from which a model can learn to tell whether the patch
// fixes the vulnerability.
//
// In goes what is known of the vulnerability, the parsed patch and, where it is at hand, the text of the touched files
// before the patch. Out comes a Vector of fixed length whose numbers Names names and docs/features.md describes, counts
// of hashed n-grams of the changed tokens, and a Report of what was looked at. The same input gives the same numbers on
// every machine. Work is bounded by counts: what is too large, too deep or too odd to be parsed is read by the lexer
// alone, and a feature says so.
//
// Files are read without the parts that are far from any change. Functions around changes are read whole: the dangerous
// operations in them by the kind of the weakness, the conditions that decide whether those run, and where their values
// come from. Names are judged by vocabulary (words.go); conditions are worked out for texts of an attack and ordinary ones
// (probes.go).
//
// The package refuses to know the message that came with a patch, the official fix, and which package the target is:
// neither paths nor the package's name enter a number, other than by whether the vulnerability's text names them.
package features

import (
	"bytes"
	"math"
	"slices"

	"crisol/internal/diff"
	"crisol/internal/syntax"
)

// Vulnerability is what is known of a vulnerability before any patch is seen.
type Vulnerability struct {
	ID        string   // CVE or other id; no number comes of it
	CWE       []string // such as "CWE-79", the main one first
	Type      string   // one of scenario.Types, or ""
	Severity  string   // low, medium, high, critical, or ""
	Ecosystem string   // npm, pypi, and so on, or ""
	Package   string   // left out of the n-grams; no number comes of it
	Text      string   // title and description
}

// File is the text of a touched file before the patch. A file that the patch creates needs none.
type File struct {
	Path   string // as the patch has it: the old path of a renamed file
	Before []byte
}

// Input is what a vector is computed of.
type Input struct {
	Vulnerability Vulnerability
	Patch         *diff.Patch
	Files         []File
	// Parser reads the files. It may have read some before; nil reads them all.
	Parser *syntax.Parser
	// Ranks remembers what expressions are like; nil has each looked at.
	Ranks *Ranks
}

// Vector holds one number for each of Names. NaN stands for what needs the source when it isn't at hand.
type Vector []float64

// Report says what a vector was computed from.
type Report struct {
	// Dropped are the files that aren't source.
	Dropped []Dropped
	// Missing are the files whose text was not at hand or that the patch doesn't fit; Lexical those that were read without
	// a tree, all of Missing among them.
	Missing, Lexical []string
	// Truncated is set when the patch was too large to be read whole.
	Truncated bool
}

// Compute computes a vector. It never fails: a patch without source gives the vector of a patch that changes nothing.
func Compute(in Input) (Vector, Report) {
	r := Read(in)
	return r.Vector(), r.Report()
}

// Report says what was read.
func (c *Reading) Report() Report { return c.report }

// Vector computes the numbers of what was read.
func (c *Reading) Vector() Vector {
	v := make(Vector, count)
	c.context(v)
	c.shape(v)
	c.tally.fill(v)
	c.patterns(v)
	c.filters(v)
	v[unknownImports] = float64(c.unknownImports())
	c.location(v)
	if c.structure(v) {
		v[alarms] = truth(c.strange() > 0) + v.alarms()
	} else {
		for i, f := range table {
			if f.Source {
				v[i] = math.NaN()
			}
		}
	}
	return v
}

// Reading is a patch that was read: for who wants its vector and its n-grams.
type Reading struct {
	vulnerability Vulnerability
	kind          weakness
	files         []*file
	tally         *tally
	report        Report
	left          *budget
	ranks         *Ranks
	query         query
}

// Read reads a patch.
func Read(in Input) *Reading {
	c := &Reading{vulnerability: in.Vulnerability, kind: in.Vulnerability.kind(), tally: newTally(), left: newBudget(in.Parser), ranks: in.Ranks,
		query: newQuery(in.Vulnerability.Text, in.Vulnerability.Package)}
	texts := map[string][]byte{}
	for _, f := range in.Files {
		texts[f.Path] = f.Before
	}
	for _, f := range in.Patch.Files {
		if reason := notSource(f.Path()); reason != "" {
			c.report.Dropped = append(c.report.Dropped, Dropped{f.Path(), -1, reason})
			continue
		}
		if len(c.files) == maxFiles {
			c.report.Truncated = true
			break
		}
		before, known := texts[f.Old]
		if !known {
			before = texts[f.Path()]
		}
		c.add(open(f, before, c.left))
	}
	c.report.Truncated = c.report.Truncated || c.left.fragment == 0
	return c
}

func (c *Reading) add(f *file) {
	c.files = append(c.files, f)
	if !f.source {
		c.report.Missing = append(c.report.Missing, f.path)
	}
	if f.before.tree == nil {
		c.report.Lexical = append(c.report.Lexical, f.path)
	}
	c.tally.take(f.before, false)
	c.tally.take(f.after, true)
}

// context sets what is known without the patch, and how it was read.
func (c *Reading) context(v Vector) {
	for w, at := range map[weakness]int{weakPollution: classPollution, weakRedos: classRedos, weakCommand: classCommand, weakPath: classPath,
		weakMarkup: classMarkup, weakQuery: classQuery, weakCode: classCode, weakMemory: classMemory, weakExchange: classExchange} {
		v[at] = truth(c.kind == w)
	}
	v[severity] = float64(slices.Index([]string{"", "low", "medium", "high", "critical"}, c.vulnerability.Severity))
	v[severity] = max(v[severity], 0)
	v[ecosystemNPM] = truth(c.vulnerability.Ecosystem == "npm")
	script, python, native := 0, 0, 0
	for _, f := range c.files {
		switch {
		case isScript(f.lang):
			script++
		case f.lang == syntax.Python:
			python++
		case f.lang == syntax.PlainC || f.lang == syntax.CPP:
			native++
		}
	}
	all := len(c.files)
	v[languageScript], v[languagePython], v[languageNative] = ratio(script, all), ratio(python, all), ratio(native, all)
}

// shape sets what comes of counting lines.
func (c *Reading) shape(v Vector) {
	remarks := 0
	for _, f := range c.files {
		v[hunkCount] += float64(f.hunks)
		v[linesAdded] += float64(f.added)
		v[linesRemoved] += float64(f.removed)
		remarks += f.remarks
		v[inverted] += f.inverted()
		if l := f.after.limitValue(); l > 0 && (v[limitValue] == 0 || l < v[limitValue]) {
			v[limitValue] = l
		}
	}
	v[fileCount] = float64(len(c.files))
	v[remarkShare] = ratio(remarks, remarks+int(v[linesAdded]+v[linesRemoved]))
}

// inverted counts the runs that change nothing but one operator of comparison or logic, or a negation.
func (f *file) inverted() float64 {
	n := 0.0
	for i, run := range f.before.runs {
		changed, flips := 0, 0
		for _, half := range []struct {
			s   *side
			run span
		}{{f.before, run}, {f.after, f.after.runs[i]}} {
			for at := half.s.from(half.run.start); at < len(half.s.tokens) && int(half.s.tokens[at].Start) < half.run.end; at++ {
				if half.s.changed[at] {
					changed++
					flips += flip(half.s.text(half.s.tokens[at]))
				}
			}
		}
		if changed > 0 && changed == flips && changed <= 2 {
			n++
		}
	}
	return n
}

func flip(text []byte) int {
	switch string(text) {
	case "!", "==", "===", "!=", "!==", "<", ">", "<=", ">=", "&&", "||", "not", "and", "or":
		return 1
	}
	return 0
}

// location compares the touched code with the vulnerability's text.
func (c *Reading) location(v Vector) {
	words := c.query
	if len(words) == 0 {
		return
	}
	terms := map[string]int{}
	for _, f := range c.files {
		for part := range parts([]byte(lastSegment(f.path))) {
			terms[part]++
		}
		v[textNames] = max(v[textNames], truth(words.namesFile(f.path)))
		for _, s := range []*side{f.before, f.after} {
			for _, i := range s.changedTokens() {
				if s.tokens[i].Kind == syntax.Word {
					words.occurs(terms, s.text(s.tokens[i]))
				}
			}
		}
	}
	v[textMatch] = words.bm25(terms)
	for _, f := range c.files {
		for _, name := range f.headers() {
			v[textNames] = max(v[textNames], truth(words.names(name)))
		}
	}
}

// headers are the names of functions that the tokens of a side define: those before a list of parameters and after a
// word that defines, or before an assignment of a function.
func (f *file) headers() []string {
	var out []string
	s := f.after
	for i := 1; i < len(s.tokens); i++ {
		switch string(s.text(s.tokens[i-1])) {
		case "function", "def", "func", "fn":
			if s.tokens[i].Kind == syntax.Word {
				out = append(out, string(s.text(s.tokens[i])))
			}
		case "=", ":":
			if string(s.text(s.tokens[i])) == "function" && i >= 2 && s.tokens[i-2].Kind == syntax.Word {
				out = append(out, string(s.text(s.tokens[i-2])))
			}
		}
	}
	return out
}

// structure sets what comes of the trees, and says whether there is any.
func (c *Reading) structure(v Vector) bool {
	var known, weighed bool
	total := &coverage{}
	for _, f := range c.files {
		if f.before.tree == nil || f.after.tree == nil {
			continue
		}
		known = true
		if !f.before.tree.HasError() && f.after.tree.HasError() {
			v[errorsAdded]++
		}
		if v[tokensAdded]+v[tokensRemoved] == 0 {
			continue
		}
		weighed = true
		before, after := newReader(f.before, c.kind, c.tally.names), newReader(f.after, c.kind, c.tally.names)
		old, now := before.scopes(), after.scopes()
		c.functions(v, before, after)
		total.compare(v, old, now)
		edits(v, after)
		for _, s := range now {
			total.protect(v, after, s)
		}
		total.around(f, c.kind)
		v[unusedNames] += float64(f.unused(after))
		f.damage(v, before, after)
		total.near(after, now)
		probeConditions(v, after, now)
	}
	if weighed {
		total.fill(v)
	}
	return known
}

// functions counts touched, new and lost functions.
func (c *Reading) functions(v Vector, before, after *reader) {
	v[functionsTouched] += float64(len(after.touched()))
	had, has := before.functionNames(), after.functionNames()
	for name := range has {
		if !had[name] {
			v[functionsAdded]++
		}
	}
}

func (r *reader) functionNames() map[string]bool {
	out := map[string]bool{}
	for _, f := range r.functions {
		if name := r.tree.FunctionName(f); name != "" {
			out[name] = true
		}
	}
	return out
}

// coverage adds up what is protected.
type coverage struct {
	before, after              int // sinks
	tokensBefore, tokensAfter  int
	touched, emptied           int // functions
	nestBefore, nestAfter      int
	protectedNew, protectedAny int
	named                      int // what looks like a sink in the files
	changed, changedNear       int // tokens, in all and in functions with a sink
	repeats                    int
}

// compare counts what the touched functions held before and hold now.
func (t *coverage) compare(v Vector, old, now []*scope) {
	sizes := map[string]int{}
	for _, s := range old {
		t.before += len(s.sinks)
		t.tokensBefore += s.tokens
		t.nestBefore = max(t.nestBefore, s.nesting)
		v[complexityBefore] += float64(s.branches)
		if s.name != "" {
			sizes[s.name] = max(sizes[s.name], s.tokens)
		}
	}
	for _, s := range now {
		t.after += len(s.sinks)
		t.tokensAfter += s.tokens
		t.nestAfter = max(t.nestAfter, s.nesting)
		t.touched++
		if was := sizes[s.name]; was >= 24 && s.tokens*3 <= was {
			t.emptied++
		}
	}
}

// protect weighs the guards of one function against its sinks.
func (t *coverage) protect(v Vector, r *reader, s *scope) {
	covers, decides := make([]bool, len(s.guards)), make([]bool, len(s.guards))
	for _, k := range s.sinks {
		fresh, any := k.wrapped, k.wrapped
		late := false
		for i, g := range s.guards {
			if k.node == g.node || g.condition == k.node {
				continue
			}
			_, decided := g.decides(k.start, k.end)
			meets := g.vars.meets(k.vars)
			decides[i] = decides[i] || decided
			switch {
			case decided && meets:
				any = true
				if g.fresh {
					fresh, covers[i] = true, true
				}
			case meets && g.fresh && g.start >= k.end:
				late = true
			}
		}
		before, after := s.transforms(k)
		v[reassigns] += float64(before)
		v[transformLate] += float64(after)
		fresh, any = fresh || before > 0, any || before > 0
		v[wrapsSink] += truth(k.wrapped)
		v[guardLate] += truth(late && !fresh)
		t.protectedNew += one(fresh)
		t.protectedAny += one(any)
	}
	for i, g := range s.guards {
		if !g.fresh {
			continue
		}
		want, decided := t.wanted(s, g)
		if !decided && !g.leaves && g.whenTrue == (span{}) {
			continue
		}
		v[guardsNew]++
		v[guardCovers] = max(v[guardCovers], truth(covers[i]))
		v[guardIdle] += truth(g.idle)
		v[guardOther] += truth(decides[i] && !covers[i])
		if g.known {
			continue
		}
		p := r.weigh(g.condition, want)
		v[guardDeny] += float64(p.deny)
		v[guardAllow] += float64(p.allow)
		v[guardsRight] += float64(p.right)
		v[guardsWrong] += float64(p.wrong)
		v[guardLiteral] += float64(p.literal)
	}
}

// wanted is the value of a guard's condition for which the code that it guards runs: that of its sinks where it has any,
// else what follows a guard that leaves, else its body.
func (t *coverage) wanted(s *scope, g guard) (want, decided bool) {
	for _, k := range s.sinks {
		if value, ok := g.decides(k.start, k.end); ok && g.vars.meets(k.vars) {
			return value, true
		}
	}
	return !g.leaves && g.whenTrue != (span{}), g.leaves
}

// transforms counts the variables of a sink that a new call gives a value before it, and after it.
func (s *scope) transforms(k sink) (before, after int) {
	for _, w := range s.writes {
		if !w.newCall || !w.left.meets(k.vars) || w.start <= k.start && k.end <= w.end {
			continue
		}
		if w.end <= k.start {
			before++
		} else if w.start >= k.end {
			after++
		}
	}
	return before, after
}

// around counts what looks like a dangerous operation in the whole of a file: calls by name, and writes under what isn't a
// constant.
func (t *coverage) around(f *file, kind weakness) {
	senses := kind.sinks()
	s := f.after
	for i := 1; i+1 < len(s.full); i++ {
		tok := s.full[i]
		next := s.fullSrc[s.full[i+1].Start]
		switch {
		case tok.Kind == syntax.Word && next == '(' && senses != 0:
			t.named += one(exact[string(lower(tok.Of(s.fullSrc)))]&senses != 0)
		case kind == weakPollution && next == '=' && s.full[i+1].End-s.full[i+1].Start == 1 && s.fullSrc[tok.Start] == ']' && s.full[i-1].Kind != syntax.Text && s.full[i-1].Kind != syntax.Numeral:
			t.named++
		}
	}
}

// near counts the changed tokens that lie in functions with a dangerous operation, and the functions among them that
// repeat.
func (t *coverage) near(r *reader, now []*scope) {
	for _, s := range now {
		changed, _ := r.changedIn(s.start, s.end)
		t.changed += changed
		if len(s.sinks) > 0 {
			t.changedNear += changed
			t.repeats += one(r.repeats(s))
		}
	}
}

// repeats says whether a function calls itself, or loops over the keys of something.
func (r *reader) repeats(s *scope) bool {
	for i := r.from(s.start); i+1 < len(r.tokens) && int(r.tokens[i].Start) < s.end; i++ {
		text := string(r.text(r.tokens[i]))
		called := r.src[r.tokens[i+1].Start] == '('
		switch {
		case text == "in" && r.tokens[i].Kind == syntax.Word && i >= 2 && (r.near(i, -2) == "(" || isDeclaring(r.near(i, -2))):
			return true
		case called && (text == "keys" || text == "entries" || text == "split" || text == "getOwnPropertyNames" || text == "ownKeys"):
			return true
		case called && s.name != "" && text == s.name && r.near(i, -1) != "function":
			return true
		}
	}
	return false
}

func isDeclaring(word string) bool { return word == "var" || word == "let" || word == "const" }

func (t *coverage) fill(v Vector) {
	v[sinksBefore], v[sinksAfter] = float64(t.before), float64(t.after)
	v[sinksRemoved] = float64(max(t.before-t.after, 0))
	v[sinkShareNew], v[sinkShareAny] = ratio(t.protectedNew, t.after), ratio(t.protectedAny, t.after)
	v[sinksTouchedShare] = min(ratio(t.after, t.named), 1)
	v[sinkScopeShare], v[sinkRepeats] = ratio(t.changedNear, t.changed), float64(t.repeats)
	v[nestingDelta] = float64(t.nestAfter - t.nestBefore)
	v[sizeRatio] = min(ratio(t.tokensAfter, t.tokensBefore), 10)
	v[emptied] = ratio(t.emptied, t.touched)
}

// edits counts edits on the trees.
func edits(v Vector, after *reader) {
	for _, i := range after.changedNodes() {
		switch after.tree.Nodes[i].Role {
		case syntax.If, syntax.Ternary, syntax.Loop:
			condition := after.tree.Child(i, syntax.FieldCondition)
			switch {
			case condition < 0:
			case after.isNew(condition):
				v[conditionsAdded]++
			case after.isTouched(condition):
				v[conditionsChanged]++
			}
		case syntax.Return, syntax.Throw:
			v[unconditionalExit] += truth(after.unconditional(i))
		case syntax.Catch:
			v[swallowed] += truth(after.swallows(i))
		case syntax.Statement:
			v[resultUnused] += truth(after.dropsResult(i))
		}
	}
}

// changedNodes are the nodes with a changed token.
func (r *reader) changedNodes() []int {
	var out []int
	for i := 0; i < len(r.tree.Nodes); {
		if !r.isTouched(i) {
			i = r.tree.Next(i)
			continue
		}
		out = append(out, i)
		i++
	}
	return out
}

// unconditional says whether a new return or throw stands in a function's own block with other statements after it.
func (r *reader) unconditional(i int) bool {
	block := int(r.tree.Nodes[i].Parent)
	if block < 0 || r.tree.Nodes[block].Role != syntax.Block || !r.isKeywordNew(i) {
		return false
	}
	function := int(r.tree.Nodes[block].Parent)
	if function < 0 || r.tree.Nodes[function].Role != syntax.Function {
		return false
	}
	for next := r.tree.NextSibling(i); next >= 0; next = r.tree.NextSibling(next) {
		if n := r.tree.Nodes[next]; n.Flags&syntax.Named != 0 && n.Role != syntax.Comment && n.Role != syntax.Function {
			return true
		}
	}
	return false
}

// isKeywordNew says whether the first token of a node is changed.
func (r *reader) isKeywordNew(i int) bool {
	at := r.from(int(r.tree.Nodes[i].Start))
	return at < len(r.tokens) && r.changed[at]
}

// swallows says whether a new handler of errors neither throws nor calls.
func (r *reader) swallows(i int) bool {
	if !r.isNew(i) {
		return false
	}
	for at := i + 1; at < r.tree.Next(i); at++ {
		if role := r.tree.Nodes[at].Role; role == syntax.Throw || role == syntax.Call {
			return false
		}
	}
	return true
}

// dropsResult says whether a new statement calls something that cleans and leaves the result.
func (r *reader) dropsResult(i int) bool {
	call := r.tree.ChildOf(i, syntax.Call)
	if call < 0 || !r.calleeChanged(call) {
		return false
	}
	name := r.tree.Invocation(call).Name
	s := exact[string(lower([]byte(name)))]
	return s&(isEscape|isCanonical|isQuote|isDecode) != 0 || name == "replace" || name == "trim" || bytes.HasPrefix([]byte(name), []byte("sanitize"))
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
