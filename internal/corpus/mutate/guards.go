package mutate

import (
	"fmt"
	"slices"
	"strings"

	"crisol/internal/syntax"
)

// A template is a guard at the start of a function: %s stands for one of its parameters. Some are right where the
// parameter is, some are wrong on purpose, and all are wrong in the wrong place.
type template struct{ note, code string }

// entryGuards holds, by weakness and language, what may stand at the start of a function.
var entryGuards = map[string]map[syntax.Language][]template{
	"prototype_pollution": {
		syntax.JavaScript: {
			{"path keys refused", `if (/(^|[^\w$])(__proto__|constructor|prototype)($|[^\w$])/.test(Array.isArray(%s) ? %s.join('.') : String(%s))) throw new {error}('{message}');`},
			{"path keys ignored", `if (/__proto__|constructor|prototype/.test(String(%s))) return;`},
			{"one path key refused", `if (String(%s).indexOf('__proto__') !== -1) throw new {error}('{message}');`},
			{"text path keys refused", `if (typeof %s === 'string' && /__proto__|constructor|prototype/.test(%s)) throw new {error}('{message}');`},
			{"own keys searched", `(function scan(value, depth) {
  if (value === null || typeof value !== 'object' || depth > 20) return;
  Object.getOwnPropertyNames(value).forEach(function (key) {
    if (key === '__proto__' || key === 'constructor' || key === 'prototype') throw new {error}('{message}');
    scan(value[key], depth + 1);
  });
})(%s, 0);`},
			{"own keys removed", `(function strip(value, depth) {
  if (value === null || typeof value !== 'object' || depth > 20) return;
  Object.getOwnPropertyNames(value).forEach(function (key) {
    if (key === '__proto__') delete value[key];
    else strip(value[key], depth + 1);
  });
})(%s, 0);`},
			{"top keys searched", `if (%s && typeof %s === 'object' && Object.keys(%s).indexOf('__proto__') !== -1) throw new {error}('{message}');`},
			{"enumerable keys searched", `for (var unsafe in %s) { if (unsafe === '__proto__' || unsafe === 'constructor') throw new {error}('{message}'); }`},
			{"copied by JSON", `if (%s && typeof %s === 'object') %s = JSON.parse(JSON.stringify(%s));`},
			{"prototype frozen", `Object.freeze(Object.prototype);`},
			{"the prototype itself refused", `if (%s === Object.prototype) throw new {error}('{message}');`},
		},
	},
	"path_traversal": {
		syntax.JavaScript: {
			{"dots refused", `if (String(%s && %s.url || %s).indexOf('..') !== -1) throw new {error}('{message}');`},
			{"decoded dots refused", `if (/(^|[\\/])\.\.([\\/]|$)/.test(decodeURIComponent(String(%s && %s.url || %s)))) throw new {error}('{message}');`},
			{"leading dots refused", `if (String(%s && %s.url || %s).indexOf('../') === 0) throw new {error}('{message}');`},
			{"dots removed once", `if (typeof %s === 'string') %s = %s.replace('../', '');`},
			{"dots removed", `if (typeof %s === 'string') %s = %s.replace(/\.\.\//g, '');`},
			{"dots of a request removed", `if (%s && typeof %s.url === 'string') %s.url = decodeURIComponent(%s.url).replace(/\.\.+/g, '');`},
			{"request's path made absolute", `if (%s && typeof %s.url === 'string') %s.url = require('path').posix.normalize('/' + decodeURIComponent(%s.url).replace(/\\/g, '/')).replace(/^\/+/, '/');`},
			{"path made absolute", `if (typeof %s === 'string') %s = require('path').posix.normalize('/' + %s);`},
		},
		syntax.Python: {
			{"dots refused", `if '..' in str(%s): raise ValueError('{message}')`},
			{"absolute refused", `if str(%s).startswith('/'): raise ValueError('{message}')`},
			{"dots and absolute refused", `if '..' in str(%s).replace('\\', '/').split('/') or str(%s).startswith('/'): raise ValueError('{message}')`},
		},
		syntax.Go: {
			{"dots refused", "for i := 0; i+1 < len(%s); i++ {\n\tif %s[i:i+2] == \"..\" {\n\t\tpanic(\"{message}\")\n\t}\n}"},
			{"leading dots refused", "if len(%s) > 1 && %s[:2] == \"..\" {\n\tpanic(\"{message}\")\n}"},
		},
		syntax.Java: {
			{"dots refused", `if (%s != null && %s.contains("..")) throw new IllegalArgumentException("{message}");`},
			{"leading dots refused", `if (%s != null && %s.startsWith("../")) throw new IllegalArgumentException("{message}");`},
		},
		syntax.Rust: {
			{"dots refused", `if format!("{:?}", %s).contains("..") { panic!("{message}"); }`},
		},
	},
	"command_injection": {
		syntax.JavaScript: {
			{"plain words only", `if (typeof %s === 'string' && !/^[\w.\/:@=, -]*$/.test(%s)) throw new {error}('{message}');`},
			{"deep plain words only", `(function check(value) { if (typeof value === 'string') { if (!/^[\w.\/:@=, -]*$/.test(value)) throw new {error}('{message}'); } else if (value && typeof value === 'object') Object.keys(value).forEach(function (key) { check(value[key]); }); })(%s);`},
			{"plain words by test of the start", `if (typeof %s === 'string' && !/^[\w.\/-]+/.test(%s)) throw new {error}('{message}');`},
			{"separators refused", `if (/[;&|]/.test(String(%s))) throw new {error}('{message}');`},
			{"shell characters refused", "if (/[;&|`$()<>\\n\\r'\"\\\\]/.test(typeof %s === 'object' ? JSON.stringify(Object.values(%s || {})).slice(1, -1).replace(/\"/g, '') : String(%s))) throw new {error}('{message}');"},
			{"semicolons removed", `if (typeof %s === 'string') %s = %s.replace(/;/g, '');`},
			{"shell characters removed", "if (typeof %s === 'string') %s = %s.replace(/[;&|`$(){}<>\\n\\r'\"\\\\!]/g, '');"},
			{"quoted", `if (typeof %s === 'string') %s = "'" + %s.replace(/'/g, "'\\''") + "'";`},
			{"quoted in double quotes", `if (typeof %s === 'string') %s = '"' + %s + '"';`},
		},
		syntax.Python: {
			{"plain words only", `if isinstance(%s, str) and not all(c.isalnum() or c in '._/:@=-' for c in %s): raise ValueError('{message}')`},
			{"separators refused", `if any(c in str(%s) for c in ';&|'): raise ValueError('{message}')`},
			{"leading dash refused", `if str(%s).startswith('-'): raise ValueError('{message}')`},
		},
		syntax.Go: {
			{"leading dash refused", "if len(%s) > 0 && %s[0] == '-' {\n\tpanic(\"{message}\")\n}"},
		},
	},
	"code_injection": {
		syntax.JavaScript: {
			{"names only", `if (typeof %s === 'string' && !/^[\w$.]*$/.test(%s)) throw new {error}('{message}');`},
			{"calls refused", `if (/[()]/.test(String(%s))) throw new {error}('{message}');`},
			{"words refused", `if (/require|process|child_process/.test(String(%s))) throw new {error}('{message}');`},
			{"text refused", `if (typeof %s === 'string' && /[(){}=;]/.test(%s)) throw new {error}('{message}');`},
		},
		syntax.Python: {
			{"dunders refused", `if '__' in str(%s): raise ValueError('{message}')`},
			{"calls refused", `if '(' in str(%s): raise ValueError('{message}')`},
		},
		syntax.Java: {
			{"scripts refused", `if (%s != null && %s.contains("script:")) throw new IllegalArgumentException("{message}");`},
		},
	},
	"redos": {
		syntax.JavaScript: {
			{"long input refused", `if (typeof %s === 'string' && %s.length > 1000) throw new {error}('{message}');`},
			{"very long input refused", `if (typeof %s === 'string' && %s.length > 50000) throw new {error}('{message}');`},
			{"input above 100 refused", `if (typeof %s === 'string' && %s.length > 100) throw new {error}('{message}');`},
			{"input cut", `if (typeof %s === 'string') %s = %s.slice(0, 500);`},
			{"long input gives nothing", `if (typeof %s === 'string' && %s.length > 2000) return null;`},
			{"repeated blanks refused", `if (/\s{20}/.test(String(%s))) throw new {error}('{message}');`},
			{"any run refused", `if (/(.)\1{30}/.test(String(%s))) throw new {error}('{message}');`},
		},
		syntax.Python: {
			{"long input refused", `if isinstance(%s, (str, bytes)) and len(%s) > 1000: raise ValueError('{message}')`},
			{"very long input refused", `if isinstance(%s, (str, bytes)) and len(%s) > 50000: raise ValueError('{message}')`},
			{"input cut", `if isinstance(%s, (str, bytes)): %s = %s[:500]`},
		},
		syntax.Go: {
			{"long input refused", "if len(%s) > 1000 {\n\tpanic(\"{message}\")\n}"},
			{"very long input refused", "if len(%s) > 100000 {\n\tpanic(\"{message}\")\n}"},
		},
		syntax.Rust: {
			{"long input refused", `if format!("{:?}", %s).len() > 1000 { panic!("{message}"); }`},
		},
	},
	"xss": {
		syntax.JavaScript: {
			{"five characters escaped", `if (typeof %s === 'string') %s = %s.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;').replace(/'/g, '&#39;');`},
			{"four characters escaped", `if (typeof %s === 'string') %s = %s.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');`},
			{"brackets escaped", `if (typeof %s === 'string') %s = %s.replace(/</g, '&lt;').replace(/>/g, '&gt;');`},
			{"scripts removed", `if (typeof %s === 'string') %s = %s.replace(/<script.*?>/gi, '');`},
		},
		syntax.Python: {
			{"escaped with quotes", `if isinstance(%s, str): %s = __import__('html').escape(%s)`},
			{"escaped without quotes", `if isinstance(%s, str): %s = __import__('html').escape(%s, quote=False)`},
			{"brackets escaped", `if isinstance(%s, str): %s = %s.replace('<', '&lt;').replace('>', '&gt;')`},
			{"script refused", `if 'script' in str(%s).lower(): raise ValueError('{message}')`},
			{"blanks refused", `if any(c.isspace() for k in (%s if isinstance(%s, dict) else [str(%s)]) for c in str(k)): raise ValueError('{message}')`},
		},
	},
	"sql_injection": {
		syntax.JavaScript: {
			{"number", `if (typeof %s === 'string') %s = Number(%s);`},
			{"quotes doubled", `if (typeof %s === 'string') %s = %s.replace(/'/g, "''");`},
			{"words refused", `if (/union|select|--/i.test(String(%s))) throw new {error}('{message}');`},
		},
		syntax.Python: {
			{"quotes doubled", `if isinstance(%s, str): %s = %s.replace("'", "''")`},
			{"words refused", `if 'union' in str(%s).lower(): raise ValueError('{message}')`},
			{"names only", `if not all(c.isalnum() or c in '_. ,-' for c in str(%s)): raise ValueError('{message}')`},
			{"names of keywords only", `if isinstance(%s, dict) and not all(str(k).isidentifier() for k in %s): raise ValueError('{message}')`},
		},
	},
	"ssrf": {
		syntax.JavaScript: {
			{"loopback names refused", `if (/localhost|127\.0\.0\.1/.test(String(%s && %s.url || %s))) throw new {error}('{message}');`},
		},
	},
	"open_redirect": {
		syntax.JavaScript: {
			{"addresses refused", `if (/^(https?:)?\/\//i.test(String(%s))) throw new {error}('{message}');`},
		},
		syntax.Python: {
			{"addresses refused", `if str(%s).startswith(('http:', 'https:', '//')): raise ValueError('{message}')`},
			{"two slashes refused", `if str(%s).startswith('//'): raise ValueError('{message}')`},
		},
		syntax.Go: {
			{"two slashes refused", "if len(%s) > 1 && %s[:2] == \"//\" {\n\tpanic(\"{message}\")\n}"},
		},
	},
	"deserialization": {
		syntax.Python: {
			{"tags refused", `if '!!' in str(%s): raise ValueError('{message}')`},
			{"python tags refused", `if '!!python' in str(%s): raise ValueError('{message}')`},
			{"dots refused", `if '..' in str(%s) or '/' in str(%s): raise ValueError('{message}')`},
		},
		syntax.Java: {
			{"tags refused", `if (%s != null && %s.contains("!!")) throw new IllegalArgumentException("{message}");`},
		},
	},
	"xxe": {
		syntax.Python: {
			{"entities refused", `if b'<!ENTITY' in (%s if isinstance(%s, bytes) else str(%s).encode()): raise ValueError('{message}')`},
			{"doctype refused", `if b'<!DOCTYPE' in (%s if isinstance(%s, bytes) else str(%s).encode()): raise ValueError('{message}')`},
		},
		syntax.JavaScript: {
			{"entities refused", `if (/<!ENTITY/.test(String(%s))) throw new {error}('{message}');`},
			{"doctype refused", `if (/<!DOCTYPE/i.test(String(%s))) throw new {error}('{message}');`},
		},
	},
}

// EntryGuards puts guards for a weakness at the start of functions, for each of their parameters in turn.
func EntryGuards(weakness string) Mutator {
	return Mutator{"entry_guard", func(s *Source) (out []Edited) {
		templates := entryGuards[weakness][s.Lang]
		for _, f := range s.functions() {
			for _, p := range f.params {
				if s.typed() && !strings.Contains(p.text, "string") && !strings.Contains(p.text, "String") && !strings.Contains(p.text, "&str") && s.Lang != syntax.Rust {
					continue
				}
				for _, t := range templates {
					code := reword(strings.ReplaceAll(t.code, "%s", p.name), t.note+f.name+p.name)
					out = append(out, s.edit(fmt.Sprintf("%s for %s of %s", t.note, p.name, f.name), s.enter(f, code))...)
				}
			}
		}
		return out
	}}
}

// typed says whether the language's parameters have types that a guard has to fit.
func (s *Source) typed() bool {
	return s.Lang == syntax.Go || s.Lang == syntax.Java || s.Lang == syntax.PlainC || s.Lang == syntax.CPP
}

// SinkGuards guards the places themselves where a weakness takes effect.
func SinkGuards(weakness string) Mutator {
	make := map[string]func(*Source) []Edited{
		"prototype_pollution": guardWrites, "path_traversal": guardPaths, "command_injection": guardCommands, "redos": boundRegex,
	}[weakness]
	if make == nil {
		make = func(*Source) []Edited { return nil }
	}
	return Mutator{"sink_guard", make}
}

// keyTests are conditions under which a key is harmless; %s stands for it.
var keyTests = []template{
	{"three keys", "%s !== '__proto__' && %s !== 'constructor' && %s !== 'prototype'"},
	{"two keys", "%s !== '__proto__' && %s !== 'constructor'"},
	{"one key", "%s !== '__proto__'"},
	{"three keys as text", "['__proto__', 'constructor', 'prototype'].indexOf(String(%s)) === -1"},
	{"another one key", "%s !== 'constructor'"},
	{"no underscores", "String(%s).slice(0, 2) !== '__'"},
}

// guardWrites guards writes to a computed key, and the turns of loops over keys.
func guardWrites(s *Source) (out []Edited) {
	if s.Lang != syntax.JavaScript {
		return nil
	}
	writes, loops := s.writes(), s.keyLoops()
	for _, t := range keyTests {
		test := func(key string) string { return strings.ReplaceAll(t.code, "%s", key) }
		var all []replacement
		for _, w := range writes {
			guarded := s.put(w.statement, fmt.Sprintf("if (%s) { %s }", test(w.key), s.tree.Text(w.statement)))
			out = append(out, s.edit(t.note+" guard the write on "+s.at(w.statement), guarded)...)
			all = append(all, guarded)
		}
		if len(all) > 1 {
			out = append(out, s.edit(t.note+" guard every write", all...)...)
		}
		all = nil
		for _, l := range loops {
			guard := replacement{l.at, l.at, fmt.Sprintf("\n%sif (!(%s)) %s;", l.indent, test(l.key), l.leave)}
			out = append(out, s.edit(t.note+" guard the loop at "+l.key, guard)...)
			all = append(all, guard)
		}
		if len(all) > 1 {
			out = append(out, s.edit(t.note+" guard every loop", all...)...)
		}
	}
	for _, l := range loops {
		if l.object != "" {
			guard := replacement{l.at, l.at, fmt.Sprintf("\n%sif (!Object.prototype.hasOwnProperty.call(%s, %s)) %s;", l.indent, l.object, l.key, l.leave)}
			out = append(out, s.edit("own properties only in the loop at "+l.key, guard)...)
		}
	}
	return interleaved(out, len(keyTests))
}

// interleaved takes items from n parts of a list in turn, so that the first few are of different kinds.
func interleaved(list []Edited, n int) (out []Edited) {
	size := (len(list) + n - 1) / max(n, 1)
	for k := range size {
		for part := 0; part*size+k < len(list); part++ {
			out = append(out, list[part*size+k])
		}
	}
	return out
}

type write struct {
	statement int
	key       string
}

// writes lists the statements of the touched functions that assign to a computed key.
func (s *Source) writes() (list []write) {
	for _, i := range s.tree.All(syntax.Assignment) {
		left := s.tree.Child(i, syntax.FieldLeft)
		statement := int(s.tree.Nodes[i].Parent)
		if left < 0 || s.tree.Nodes[left].Role != syntax.Subscript || s.tree.Nodes[statement].Role != syntax.Statement || !s.inTouched(i) {
			continue
		}
		if key := s.tree.Child(left, syntax.FieldIndex); key >= 0 && s.tree.Nodes[key].Role != syntax.Number && s.tree.Nodes[key].Role != syntax.String {
			list = append(list, write{statement, s.tree.Text(key)})
		}
	}
	return list
}

// inTouched says whether a node lies in a function that the spans touch.
func (s *Source) inTouched(i int) bool {
	return slices.ContainsFunc(s.functions(), func(f function) bool { return f.node <= i && i < s.tree.Next(f.node) })
}

type keyLoop struct {
	at                         int // where the turn begins
	indent, key, object, leave string
}

// keyLoops lists the loops over keys in the touched functions: for-in and for-of loops, and callbacks of forEach.
func (s *Source) keyLoops() (list []keyLoop) {
	for _, i := range s.tree.All(syntax.Loop) {
		left, right, body := s.tree.Child(i, syntax.FieldLeft), s.tree.Child(i, syntax.FieldRight), s.tree.Child(i, syntax.FieldBody)
		if s.tree.Kind(i) != "for_in_statement" || left < 0 || right < 0 || body < 0 || s.tree.Nodes[body].Role != syntax.Block || !s.inTouched(i) {
			continue
		}
		l := keyLoop{at: int(s.tree.Nodes[body].Start) + 1, indent: s.indent(i) + "  ", key: s.tree.Text(left), leave: "continue"}
		if strings.Contains(s.Text[s.tree.Nodes[left].End:s.tree.Nodes[right].Start], "in") {
			l.object = s.tree.Text(right)
		}
		list = append(list, l)
	}
	for _, i := range s.tree.All(syntax.Call) {
		call := s.tree.Invocation(i)
		if call.Name != "forEach" || len(call.Args) == 0 || s.tree.Nodes[call.Args[0]].Role != syntax.Function || !s.inTouched(i) {
			continue
		}
		f := call.Args[0]
		body := s.tree.Child(f, syntax.FieldBody)
		if params := s.params(f); len(params) > 0 && body >= 0 && s.tree.Nodes[body].Role == syntax.Block {
			list = append(list, keyLoop{at: int(s.tree.Nodes[body].Start) + 1, indent: s.indent(i) + "  ", key: params[0].name, leave: "return"})
		}
	}
	return list
}

// guardPaths contains what is joined to a path.
func guardPaths(s *Source) (out []Edited) {
	for _, i := range s.tree.All(syntax.Call) {
		call := s.tree.Invocation(i)
		if !s.inTouched(i) || len(call.Args) < 2 || call.Name != "join" && call.Name != "resolve" {
			continue
		}
		last := call.Args[len(call.Args)-1]
		text := s.tree.Text(last)
		var forms []template
		switch s.Lang {
		case syntax.JavaScript:
			forms = []template{
				{"normalised below the root", "require('path').posix.normalize('/' + decodeURIComponent(%s)).slice(1)"},
				{"normalised", "require('path').normalize(%s)"},
				{"dots removed", `String(%s).replace(/\.\./g, '')`},
				{"dots removed once", `String(%s).replace('..', '')`},
				{"base name only", "require('path').basename(%s)"},
			}
		case syntax.Python:
			forms = []template{{"normalised below the root", "__import__('posixpath').normpath('/' + %s)[1:]"}, {"base name only", "__import__('posixpath').basename(%s)"}, {"dots removed", "%s.replace('..', '')"}}
		}
		for _, t := range forms {
			out = append(out, s.swap(t.note+" on "+s.at(i), last, strings.ReplaceAll(t.code, "%s", text))...)
		}
	}
	return out
}

// guardCommands quotes what is put into a command's text.
func guardCommands(s *Source) (out []Edited) {
	if s.Lang != syntax.JavaScript {
		return nil
	}
	forms := []template{
		{"quoted", `("'" + String(%s).replace(/'/g, "'\\''") + "'")`},
		{"in double quotes", `('"' + %s + '"')`},
		{"double quotes escaped", `('"' + String(%s).replace(/"/g, '\\"') + '"')`},
		{"JSON", `JSON.stringify(String(%s))`},
		{"shell characters removed", "String(%s).replace(/[^\\w.\\/:@=, -]/g, '')"},
		{"semicolons removed", `String(%s).replace(/;/g, '')`},
	}
	pieces := s.pieces()
	for _, t := range forms {
		var all []replacement
		for _, i := range pieces {
			r := s.put(i, strings.ReplaceAll(t.code, "%s", s.tree.Text(i)))
			out = append(out, s.edit(t.note+" on "+s.at(i), r)...)
			all = append(all, r)
		}
		if len(all) > 1 {
			out = append(out, s.edit(t.note+" everywhere", all...)...)
		}
	}
	return interleaved(out, len(forms))
}

// pieces are the expressions that the touched functions put between texts: in templates, and by adding.
func (s *Source) pieces() (list []int) {
	for i, n := range s.tree.Nodes {
		if s.tree.Kind(i) == "template_substitution" && s.inTouched(i) {
			if children := s.tree.NamedChildren(i); len(children) == 1 {
				list = append(list, children[0])
			}
		}
		if n.Role != syntax.Binary || !s.inTouched(i) {
			continue
		}
		left, right, ok := s.operands(i)
		if op := s.operator(i); !ok || op < 0 || s.tree.Text(op) != "+" {
			continue
		}
		for _, side := range []int{left, right} {
			if r := s.tree.Nodes[side].Role; r == syntax.Identifier || r == syntax.Member || r == syntax.Call || r == syntax.Subscript {
				list = append(list, side)
			}
		}
	}
	slices.Sort(list)
	return list
}

// boundRegex bounds the quantifiers of the regular expressions near the spans, or what they are matched with.
func boundRegex(s *Source) (out []Edited) {
	touched := s.tree.All(syntax.Regex)
	near := slices.DeleteFunc(touched, func(i int) bool { return !s.begins(i) && !s.inTouched(i) })
	for _, i := range near {
		literal := s.tree.Text(i)
		for _, bound := range []string{"{0,30}", "{0,1000}"} {
			by := quantifier.ReplaceAllStringFunc(literal, func(q string) string {
				if strings.HasSuffix(q, "*") || strings.HasSuffix(q, "+") {
					low := map[byte]string{'*': bound, '+': strings.Replace(bound, "{0", "{1", 1)}[q[len(q)-1]]
					return q[:len(q)-1] + low
				}
				return q
			})
			out = append(out, s.swap("quantifiers bounded to "+bound+" on "+s.at(i), i, by)...)
		}
		for _, v := range narrowed(literal) {
			if v.note == "quantifier dropped" {
				out = append(out, s.swap(v.note+" on "+s.at(i), i, v.text)...)
			}
		}
	}
	for _, i := range s.tree.All(syntax.Call) {
		call := s.tree.Invocation(i)
		if !s.inTouched(i) || s.Lang != syntax.JavaScript {
			continue
		}
		switch call.Name {
		case "test", "exec":
			if len(call.Args) == 1 {
				for _, n := range []int{200, 20000} {
					out = append(out, s.swap(fmt.Sprintf("matched text cut to %d on %s", n, s.at(i)), call.Args[0], fmt.Sprintf("String(%s).slice(0, %d)", s.tree.Text(call.Args[0]), n))...)
				}
			}
		}
	}
	return out
}
