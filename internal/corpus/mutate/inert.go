package mutate

import (
	"hash/fnv"
	"strings"

	"crisol/internal/syntax"
)

// Inert are the edits that mean nothing to the weakness: they are made in the functions of the spans.
var Inert = []Mutator{
	{"comment", addComment},
	{"log_line", addLog},
	{"format", reformat},
}

var remarks = []string{
	"the input is validated here", "security: reject unsafe values", "TODO: handle other encodings", "see the changelog", "fast path", "keep in step with the docs",
}

var remark = map[syntax.Language]string{syntax.Python: "# "}

func addComment(s *Source) (out []Edited) {
	mark := remark[s.Lang]
	if mark == "" {
		mark = "// "
	}
	for _, f := range s.functions() {
		for _, text := range remarks {
			out = append(out, s.edit("comment in "+f.name, s.enter(f, mark+text))...)
		}
	}
	return out
}

var logLine = map[syntax.Language]string{
	syntax.JavaScript: "if (process.env.TRACE_CALLS) console.error('called', %s)",
	syntax.Python:     "if __debug__ and False: print('called', %s)",
	syntax.Go:         "if false { println(\"called\") }",
	syntax.Java:       "if (false) System.err.println(\"called\");",
	syntax.Rust:       "if false { eprintln!(\"called\"); }",
}

func addLog(s *Source) (out []Edited) {
	line := logLine[s.Lang]
	if line == "" {
		return nil
	}
	for _, f := range s.functions() {
		what := "''"
		if len(f.params) > 0 {
			what = f.params[0].name
		}
		out = append(out, s.edit("log line in "+f.name, s.enter(f, strings.Replace(line, "%s", what, 1)+s.words().end))...)
	}
	return out
}

// reformat puts blank lines around the statements of a function.
func reformat(s *Source) (out []Edited) {
	for _, f := range s.functions() {
		var all []replacement
		for _, child := range s.tree.NamedChildren(f.body) {
			at := int(s.tree.Nodes[child].Start)
			if s.indent(child) != "" && at > 0 && s.tree.Nodes[child].Row > s.tree.Nodes[f.node].Row {
				all = append(all, replacement{at, at, "\n" + s.indent(child)})
			}
		}
		out = append(out, s.edit("blank lines in "+f.name, all...)...)
	}
	return out
}

// Restrictive are the edits that refuse more than an attack, up to everything.
var Restrictive = []Mutator{
	{"refuse_all", refuseAll},
	{"refuse_common", refuseCommon},
	{"empty_result", emptyResult},
	{"swallow_errors", swallowErrors},
}

var refusal = map[syntax.Language]string{
	syntax.JavaScript: "throw new {error}('{message}')",
	syntax.Python:     "raise ValueError('{message}')",
	syntax.Go:         "if true { panic(\"{message}\") }",
	syntax.Java:       "if (true) throw new IllegalArgumentException(\"{message}\");",
	syntax.Rust:       "if true { panic!(\"{message}\"); }",
	syntax.PlainC:     "if (1) __builtin_exit(3);",
}

func refuseAll(s *Source) (out []Edited) {
	code := refusal[s.Lang]
	if code == "" {
		return nil
	}
	for _, f := range s.functions() {
		out = append(out, s.edit(f.name+" refuses everything", s.enter(f, reword(code, f.name)+s.words().end))...)
	}
	return out
}

// refuseCommon refuses what holds a character that harmless input holds too.
func refuseCommon(s *Source) (out []Edited) {
	forms := map[syntax.Language][]string{
		syntax.JavaScript: {
			`if (/[a-z]/i.test(String(%s))) throw new {error}('{message}');`,
			`if (/[^a-z0-9]/i.test(String(%s))) throw new {error}('{message}');`,
			`if (/[._-]/.test(String(%s))) return undefined;`,
			`if (String(%s).length > 8) throw new {error}('{message}');`,
			`if (typeof %s === 'object') throw new {error}('{message}');`,
		},
		syntax.Python: {
			"if any(c.isalpha() for c in str(%s)): raise ValueError('{message}')",
			"if not str(%s).isalnum(): raise ValueError('{message}')",
			"if len(str(%s)) > 8: raise ValueError('{message}')",
		},
	}[s.Lang]
	for _, form := range forms {
		for _, f := range s.functions() {
			for _, p := range f.params {
				code := reword(strings.Replace(form, "%s", p.name, 1), form+f.name+p.name)
				out = append(out, s.edit(f.name+" refuses common values of "+p.name, s.enter(f, code))...)
			}
		}
	}
	return out
}

func emptyResult(s *Source) (out []Edited) {
	forms := map[syntax.Language][]string{
		syntax.JavaScript: {"return;", "return '';", "return {};"},
		syntax.Python:     {"return None", "return ''"},
	}[s.Lang]
	for _, form := range forms {
		for _, f := range s.functions() {
			out = append(out, s.edit(f.name+" gives nothing", s.enter(f, form))...)
		}
	}
	return out
}

// swallowErrors keeps a function's errors from its callers.
func swallowErrors(s *Source) (out []Edited) {
	if s.Lang != syntax.JavaScript {
		return nil
	}
	for _, f := range s.functions() {
		n := s.tree.Nodes[f.body]
		inner := s.Text[n.Start+1 : n.End-1]
		out = append(out, s.swap("errors of "+f.name+" are swallowed", f.body, "{\n  try {"+inner+"} catch (ignored) {\n    return undefined;\n  }\n}")...)
	}
	return out
}

// What guards say is drawn from one stock, whatever they guard: the words must not tell by which operator a candidate was
// made.
var (
	messages = []string{
		"invalid argument", "invalid input", "not allowed", "illegal value", "unsafe value", "bad request", "unexpected value", "rejected", "invalid key or path",
		"value out of range",
	}
	errorTypes = []string{"Error", "TypeError", "RangeError", "Error"}
)

// reword fills in what a guard says when it refuses, as salt determines.
func reword(code, salt string) string {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(salt))
	n := int(sum.Sum32())
	return strings.NewReplacer("{message}", messages[n%len(messages)], "{error}", errorTypes[n/16%len(errorTypes)]).Replace(code)
}
