package features

import (
	"strings"

	"crisol/internal/diff"
	"crisol/internal/syntax"
)

// Dropped is a part of a patch that the features don't see.
type Dropped struct {
	Path string
	Hunk int // from 0; -1 for the whole file
	// Reason is one of the Reason constants.
	Reason string
}

// The reasons for which parts of a patch are dropped.
const (
	ReasonTest     = "test"
	ReasonDocument = "document"
	ReasonLock     = "lock file"
	ReasonData     = "not source"
	ReasonRemarks  = "comments, formatting or version numbers only"
)

// Source reduces a patch to source: whole files of tests, documents, data and locks go, and so do hunks of source that
// change no more than comments, white space and version numbers. It says what it dropped. What is left may be empty.
func Source(p *diff.Patch) (*diff.Patch, []Dropped) {
	kept := &diff.Patch{}
	var dropped []Dropped
	for _, f := range p.Files {
		if reason := notSource(f.Path()); reason != "" {
			dropped = append(dropped, Dropped{f.Path(), -1, reason})
			continue
		}
		reduced := f
		reduced.Hunks = nil
		lang := syntax.Detect(f.Path(), nil)
		for i, h := range f.Hunks {
			if remarksOnly(lang, h) {
				dropped = append(dropped, Dropped{f.Path(), i, ReasonRemarks})
				continue
			}
			reduced.Hunks = append(reduced.Hunks, h)
		}
		if len(reduced.Hunks) > 0 || f.Op != diff.Modify || len(f.Hunks) == 0 {
			if f.Op == diff.Create || f.Op == diff.Delete {
				reduced.Hunks = f.Hunks // these are whole or nothing
			}
			kept.Files = append(kept.Files, reduced)
		}
	}
	return kept, dropped
}

// remarksOnly says whether the tokens of a hunk are the same on both sides.
func remarksOnly(lang syntax.Language, h diff.Hunk) bool {
	before, after := fragment([]diff.Hunk{h}, lang)
	align(before, after)
	return len(h.Lines) > 0 && before.upTo[len(before.tokens)]+after.upTo[len(after.tokens)] == 0
}

// otherSource are extensions of source in languages without a grammar here.
var otherSource = set("rb cs kt kts scala swift lua pl pm sh bash zsh vue svelte html htm ejs hbs pug jade jinja jinja2 j2 twig mustache erb jsp tmpl tpl sql ex exs erl " +
	"groovy m mm clj fs vb dart coffee ls r jl hs ml mli elm nim zig d pas asm s y l g4 xsl xslt astro liquid phps aspx cshtml")

var lockNames = set("package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml composer.lock cargo.lock poetry.lock pipfile.lock gemfile.lock go.sum gradle.lockfile bun.lockb")

var testFolders = set("test tests __tests__ spec specs testing testdata __mocks__ fixtures __fixtures__ e2e benchmark benchmarks bench fuzz")

var documentFolders = set("doc docs example examples demo demos samples website .github .circleci")

func set(words string) map[string]bool {
	out := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		out[word] = true
	}
	return out
}

// notSource says why a path isn't that of source, or "".
func notSource(path string) string {
	lower := strings.ToLower(path)
	folder, name := "", lower
	if slash := strings.LastIndexByte(lower, '/'); slash >= 0 {
		folder, name = lower[:slash], lower[slash+1:]
	}
	for part := range strings.SplitSeq(folder, "/") {
		switch {
		case testFolders[part]:
			return ReasonTest
		case documentFolders[part]:
			return ReasonDocument
		}
	}
	stem, ext := name, ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		stem, ext = name[:dot], name[dot+1:]
	}
	switch {
	case lockNames[name]:
		return ReasonLock
	case isTestName(path[len(path)-len(name):], stem, ext):
		return ReasonTest
	case ext == "md" || ext == "rst" || ext == "txt" || ext == "adoc" || stem == "changelog" || stem == "changes" || stem == "history" || stem == "license" || stem == "readme":
		return ReasonDocument
	case syntax.Detect(path, nil) == syntax.Unknown && !otherSource[ext] && (ext != "" || isDocumentName(stem)):
		return ReasonData
	}
	return ""
}

func isTestName(name, stem, ext string) bool {
	switch {
	case strings.HasSuffix(stem, ".test") || strings.HasSuffix(stem, ".spec") || strings.HasSuffix(stem, "_test") || strings.HasSuffix(stem, "-test"):
		return true
	case ext == "py":
		return strings.HasPrefix(stem, "test_") || stem == "conftest"
	case ext == "java" || ext == "php":
		return strings.HasSuffix(name[:len(stem)], "Test") || strings.HasSuffix(name[:len(stem)], "Tests")
	}
	return false
}

// isDocumentName says whether a name without extension is one of the usual papers of a project.
func isDocumentName(stem string) bool {
	switch stem {
	case "authors", "contributors", "copying", "notice", "thanks", "todo", "version", "makefile", "dockerfile", "codeowners":
		return true
	}
	return strings.HasPrefix(stem, ".")
}
