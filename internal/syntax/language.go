package syntax

import (
	"bytes"
	"strings"
	"sync"
	"unsafe"

	c "github.com/tree-sitter/tree-sitter-c/bindings/go"
	cpp "github.com/tree-sitter/tree-sitter-cpp/bindings/go"
	golang "github.com/tree-sitter/tree-sitter-go/bindings/go"
	java "github.com/tree-sitter/tree-sitter-java/bindings/go"
	javascript "github.com/tree-sitter/tree-sitter-javascript/bindings/go"
	php "github.com/tree-sitter/tree-sitter-php/bindings/go"
	python "github.com/tree-sitter/tree-sitter-python/bindings/go"
	rust "github.com/tree-sitter/tree-sitter-rust/bindings/go"
	typescript "github.com/tree-sitter/tree-sitter-typescript/bindings/go"
)

// Language is a programming language that a grammar is at hand for, or Unknown.
type Language uint8

// The languages with a grammar. TSX is TypeScript with JSX.
const (
	Unknown Language = iota
	JavaScript
	TypeScript
	TSX
	Python
	Go
	Java
	PlainC // C; cgo takes the short name
	CPP
	PHP
	Rust
	languages
)

var languageNames = [languages]string{"unknown", "javascript", "typescript", "tsx", "python", "go", "java", "c", "cpp", "php", "rust"}

// String is the language's lower-case name.
func (l Language) String() string {
	if l >= languages {
		return "unknown"
	}
	return languageNames[l]
}

var extensions = map[string]Language{
	"js": JavaScript, "cjs": JavaScript, "mjs": JavaScript, "jsx": JavaScript, "es6": JavaScript,
	"ts": TypeScript, "cts": TypeScript, "mts": TypeScript, "tsx": TSX,
	"py": Python, "pyi": Python, "pyw": Python, "pyx": Python,
	"go": Go, "java": Java, "rs": Rust,
	"c": PlainC, "h": PlainC, "cc": CPP, "cpp": CPP, "cxx": CPP, "hpp": CPP, "hh": CPP, "hxx": CPP, "ipp": CPP, "tcc": CPP,
	"php": PHP, "phtml": PHP, "inc": PHP,
}

var interpreters = []struct {
	name string
	lang Language
}{{"node", JavaScript}, {"python", Python}, {"php", PHP}, {"deno", TypeScript}}

// Detect says what language a file is in, by its name and, for a name that says nothing, by a first line that names an
// interpreter. A header is C++ where its head says so. start may be the whole text or nothing.
func Detect(path string, start []byte) Language {
	name := path[strings.LastIndexByte(path, '/')+1:]
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		ext := strings.ToLower(name[dot+1:])
		lang, known := extensions[ext]
		if known && ext == "h" && looksLikeCPP(start) {
			return CPP
		}
		if known && ext == "inc" && !bytes.Contains(head(start, 512), []byte("<?php")) {
			return PlainC
		}
		if known {
			return lang
		}
	}
	if bytes.HasPrefix(start, []byte("#!")) {
		line, _, _ := bytes.Cut(head(start, 256), []byte("\n"))
		for _, interpreter := range interpreters {
			if bytes.Contains(line, []byte(interpreter.name)) {
				return interpreter.lang
			}
		}
	}
	return Unknown
}

func head(text []byte, n int) []byte { return text[:min(n, len(text))] }

func looksLikeCPP(start []byte) bool {
	start = head(start, 8<<10)
	for _, sign := range []string{"\nnamespace ", "\ntemplate", "\nclass ", "std::", "\nusing "} {
		if bytes.Contains(start, []byte(sign)) {
			return true
		}
	}
	return false
}

// grammar is a language's grammar with the tables that translate its own numbers into the shared ones.
type grammar struct {
	language unsafe.Pointer
	kinds    []string
	roles    []Role
	fields   []Field
}

// initialise makes the C library ready.
var initialise = sync.OnceFunc(ready)

var grammars = [languages]func() *grammar{
	JavaScript: load(javascript.Language),
	TypeScript: load(typescript.LanguageTypescript),
	TSX:        load(typescript.LanguageTSX),
	Python:     load(python.Language),
	Go:         load(golang.Language),
	Java:       load(java.Language),
	PlainC:     load(c.Language),
	CPP:        load(cpp.Language),
	PHP:        load(php.LanguagePHP),
	Rust:       load(rust.Language),
}

func load(language func() unsafe.Pointer) func() *grammar {
	return sync.OnceValue(func() *grammar {
		initialise()
		g := &grammar{language: language()}
		g.kinds, g.fields = tables(g.language)
		g.roles = make([]Role, len(g.kinds))
		for i, kind := range g.kinds {
			g.roles[i] = roleOf[kind]
		}
		return g
	})
}

// kind is a symbol's name. The symbol of an error is not in the table.
func (g *grammar) kind(symbol uint16) string {
	if int(symbol) < len(g.kinds) {
		return g.kinds[symbol]
	}
	return "ERROR"
}
