package features

import (
	"strings"

	"crisol/internal/syntax"
)

// scriptGlobals and pythonGlobals are names that need no declaration.
var (
	scriptGlobals = set("Object Array String Number Boolean Math JSON Date RegExp Error TypeError RangeError SyntaxError ReferenceError URIError EvalError Map Set WeakMap WeakSet WeakRef Symbol Promise Proxy Reflect BigInt " +
		"parseInt parseFloat isNaN isFinite encodeURIComponent decodeURIComponent encodeURI decodeURI escape unescape eval Function NaN Infinity undefined globalThis window document navigator location self top " +
		"process Buffer require module exports global console setTimeout clearTimeout setInterval clearInterval setImmediate __dirname __filename arguments URL URLSearchParams TextEncoder TextDecoder fetch structuredClone " +
		"queueMicrotask performance AbortController Event EventTarget Uint8Array Int8Array Uint16Array Int16Array Uint32Array Int32Array Float32Array Float64Array ArrayBuffer DataView Intl alert define AggregateError of get set  " +
		"$ jQuery XMLHttpRequest FormData Headers Request Response Blob File FileReader btoa atob describe it WebAssembly Deno Bun chrome getComputedStyle requestAnimationFrame cancelAnimationFrame HTMLElement Element Node CustomEvent MutationObserver localStorage sessionStorage history self")
	pythonGlobals = set("len str int float bool list dict tuple set frozenset bytes bytearray range enumerate zip map filter sorted reversed min max sum abs any all isinstance issubclass hasattr getattr setattr delattr callable type id repr " +
		"print open input iter next super object property staticmethod classmethod vars dir hash hex oct ord chr round pow divmod slice format ascii compile exec globals locals Exception ValueError KeyError IndexError AttributeError " +
		"RuntimeError NotImplementedError OSError IOError StopIteration AssertionError ImportError ModuleNotFoundError UnicodeDecodeError UnicodeError ZeroDivisionError PermissionError FileNotFoundError NotImplemented Ellipsis cls __name__ __file__ __all__ unicode basestring xrange long NameError OverflowError LookupError ArithmeticError BaseException Warning DeprecationWarning UserWarning memoryview complex " +
		"__import__ __doc__ __path__ __spec__ __package__ __builtins__ __debug__ __class__ exit quit aiter anext ExceptionGroup NotADirectoryError IsADirectoryError FileExistsError ConnectionError TimeoutError RecursionError SyntaxError SystemExit KeyboardInterrupt GeneratorExit EOFError MemoryError TypeError unichr raw_input reduce apply file cmp intern buffer")
)

// words are all words of the whole source.
func (s *side) words() map[string]bool {
	out := make(map[string]bool, 256)
	for _, t := range s.full {
		if t.Kind == syntax.Word {
			out[string(t.Of(s.fullSrc))] = true
		}
	}
	return out
}

// declares says whether a name looks declared where it stands: after a word that declares, before a single =, or among
// the parameters of a function.
func (s *side) declares(i int) bool {
	switch s.near(i, -1) {
	case "var", "let", "const", "function", "class", "import", "as", "def", "for", "{":
		return s.near(i, -1) != "{" || s.near(i, 1) != ":"
	case ".", "?.":
		return false
	}
	if s.near(i, 1) == "=" || s.near(i, 1) == "=>" {
		return true
	}
	depth := 0
	for at := i + 1; at < len(s.tokens) && at < i+60; at++ {
		switch s.near(at, 0) {
		case "(", "[":
			depth++
		case ")":
			if depth--; depth < 0 {
				next := s.near(at, 1)
				return next == "{" && !s.controls(at) || next == "=>" || next == ":" && s.lang == syntax.Python
			}
		case ";", "{", "}":
			return false
		}
	}
	return false
}

// controls says whether the closing bracket at i ends the head of an if, a loop or the like.
func (s *side) controls(i int) bool {
	depth := 0
	for ; i >= 0; i-- {
		switch s.near(i, 0) {
		case ")":
			depth++
		case "(":
			if depth--; depth == 0 {
				return control[s.near(i, -1)]
			}
		}
	}
	return true
}

// definesMethod says whether the brackets after a name are followed by a brace: name(a) { }.
func (s *side) definesMethod(i int) bool {
	depth := 0
	for at := i + 1; at < len(s.tokens) && at < i+60; at++ {
		if s.tokens[at].Kind != syntax.Operator {
			continue
		}
		switch s.src[s.tokens[at].Start] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s.near(at, 1) == "{"
			}
		}
	}
	return false
}

// declared are the names that nodes for which in holds declare.
func (r *reader) declared(in func(int) bool) map[string]bool {
	out := map[string]bool{}
	add := func(i int) {
		if i < 0 || !r.spend(int(r.tree.Nodes[i].Size)) || !in(i) {
			return
		}
		for at := i; at < r.tree.Next(i); at++ {
			if n := r.tree.Nodes[at]; n.Role == syntax.Identifier && n.Size == 1 {
				out[string(r.tree.Bytes(at))] = true
			}
		}
	}
	for i, n := range r.tree.Nodes {
		switch n.Role {
		case syntax.Function, syntax.Class:
			add(r.tree.Child(i, syntax.FieldName))
			add(r.tree.Child(i, syntax.FieldParameters))
		case syntax.Declarator:
			add(r.tree.Child(i, syntax.FieldName, syntax.FieldLeft, syntax.FieldPattern))
		case syntax.Assignment:
			if left := r.tree.Child(i, syntax.FieldLeft); left >= 0 && (r.lang == syntax.Python || r.tree.Nodes[left].Size == 1) {
				add(left)
			}
		case syntax.Import:
			add(i)
		case syntax.Loop, syntax.Catch:
			add(r.tree.Child(i, syntax.FieldLeft, syntax.FieldParameters))
		case syntax.NoRole:
			switch r.tree.Kind(i) {
			case "for_in_clause", "as_pattern_target", "labeled_statement", "global_statement", "case_pattern":
				add(i)
			}
		}
	}
	return out
}

// unused counts the names that the patch declares and that stand nowhere else in the file.
func (f *file) unused(after *reader) int {
	declared := after.declared(after.isTouched)
	had := f.before.words()
	for name := range declared {
		if had[name] || len(name) < 3 {
			delete(declared, name)
		}
	}
	if len(declared) == 0 {
		return 0
	}
	times := map[string]int{}
	for _, t := range f.after.full {
		if t.Kind == syntax.Word {
			if name := string(t.Of(f.after.fullSrc)); declared[name] {
				times[name]++
			}
		}
	}
	n := 0
	for name := range declared {
		n += one(times[name] == 1)
	}
	return n
}

// builtin are the modules that come with Node.js and Python, as far as patches tend to need them.
var builtin = set("assert buffer child_process cluster crypto dgram dns domain events fs http http2 https module net os path perf_hooks process punycode querystring readline stream string_decoder timers tls tty url util v8 vm zlib " +
	"worker_threads async_hooks abc argparse ast base64 binascii bisect calendar codecs collections configparser contextlib copy csv dataclasses datetime decimal difflib email enum errno fnmatch fractions functools " +
	"getpass glob gzip hashlib heapq hmac html importlib inspect io ipaddress itertools json keyword logging math mimetypes multiprocessing operator pathlib pickle pkgutil platform posixpath ntpath pprint queue random re secrets " +
	"select shlex shutil signal socket ssl stat statistics string struct subprocess sys tarfile tempfile textwrap threading time traceback types typing unicodedata unittest urllib uuid warnings weakref xml zipfile __future__ tokenize contextvars")

// unknownImports counts modules that are named for the first time: required or imported by a string that no touched file
// held before, and by what is neither built in nor a file that the patch creates.
func (c *Reading) unknownImports() int {
	seen := map[string]bool{}
	for _, f := range c.files {
		for i, t := range f.after.tokens {
			if !f.after.changed[i] {
				continue
			}
			name := f.after.imported(i, t)
			if name == "" || builtin[name] || c.knows(name) {
				continue
			}
			seen[name] = true
		}
	}
	return len(seen)
}

// imported is the module that a token names, or "".
func (s *side) imported(i int, t syntax.Token) string {
	text := s.text(t)
	switch {
	case t.Kind == syntax.Text && isScript(s.lang) && (s.near(i, -1) == "(" && s.near(i, -2) == "require" || s.near(i, -1) == "from" || s.near(i, -1) == "import"):
		return strings.TrimPrefix(string(unquoted(text)), "node:")
	case t.Kind == syntax.Word && s.lang == syntax.Python && (s.near(i, -1) == "import" || s.near(i, -1) == "from") && s.first(int(s.tokens[i-1].Start)):
		return string(text)
	}
	return ""
}

// knows says whether a module was named before in a touched file, or is a file of the patch.
func (c *Reading) knows(module string) bool {
	base := lastSegment(module)
	for _, f := range c.files {
		stem, _, _ := strings.Cut(lastSegment(f.path), ".")
		if base == stem || base == lastSegment(f.path) {
			return true
		}
		for _, t := range f.before.full {
			switch {
			case t.Kind == syntax.Text && string(unquoted(t.Of(f.before.fullSrc))) == module:
				return true
			case t.Kind == syntax.Word && f.lang == syntax.Python && string(t.Of(f.before.fullSrc)) == module:
				return true
			}
		}
	}
	return false
}
