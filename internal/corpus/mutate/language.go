// Package mutate edits source texts: it makes mutants of a fix, rewrites that keep its meaning, and guards of its own.
//
// In goes a source file before and after a fix; out come edited texts with a word on what was done. It is pure, it looks
// at tokens rather than at a syntax tree (whoever uses it drops what no longer parses), and it doesn't know whether an
// edit is right: only a trial tells.
package mutate

import (
	"path"
	"slices"
	"strings"
)

// Language is a programming language by the rules that matter to a scanner.
type Language string

// The languages.
const (
	JavaScript Language = "javascript"
	Python     Language = "python"
	Go         Language = "go"
	Java       Language = "java"
	C          Language = "c"
	Rust       Language = "rust"
	PHP        Language = "php"
	Unknown    Language = ""
)

var languages = map[string]Language{
	".js": JavaScript, ".cjs": JavaScript, ".mjs": JavaScript, ".jsx": JavaScript,
	".py": Python, ".go": Go, ".java": Java, ".c": C, ".h": C, ".cc": C, ".cpp": C, ".hpp": C, ".rs": Rust, ".php": PHP,
}

// LanguageOf tells a file's language by its name; Unknown where it is no source.
func LanguageOf(name string) Language { return languages[strings.ToLower(path.Ext(name))] }

var keywords = map[Language][]string{
	JavaScript: strings.Fields(`await break case catch class const continue debugger default delete do else export extends finally for
function if import in instanceof let new of return static super switch this throw try typeof var void while with yield
true false null undefined async get set arguments`),
	Python: strings.Fields(`False None True and as assert async await break class continue def del elif else except finally for from
global if import in is lambda nonlocal not or pass raise return try while with yield self`),
	Go: strings.Fields(`break case chan const continue default defer else fallthrough for func go goto if import interface map
package range return select struct switch type var nil true false string int bool byte error len make append`),
	Java: strings.Fields(`abstract assert boolean break byte case catch char class const continue default do double else enum extends
final finally float for if implements import instanceof int interface long native new null package private protected public
return short static super switch synchronized this throw throws transient try void volatile while true false String`),
	C: strings.Fields(`auto break case char const continue default do double else enum extern float for goto if inline int long
register return short signed sizeof static struct switch typedef union unsigned void volatile while NULL size_t`),
	Rust: strings.Fields(`as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod
move mut pub ref return self Self static struct super trait true type unsafe use where while Some None Ok Err`),
	PHP: strings.Fields(`abstract and array as break case catch class const continue declare default do echo else elseif empty
extends final finally fn for foreach function global if implements include instanceof interface isset list namespace new or
print private protected public require return static switch throw trait try unset use var while xor true false null`),
}

// Keyword says whether a word is one of the language's own.
func (l Language) Keyword(word string) bool { return slices.Contains(keywords[l], word) }
