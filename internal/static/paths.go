package static

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"crisol/internal/diff"
)

// neverLoaded says what a file is that no program loads, or "". Tests count where the language or its build tool keeps
// them out of the program, or where their folder and name both say so.
func neverLoaded(f diff.Touched) string {
	lower := strings.ToLower(f.Path)
	folders, name := "", lower
	if slash := strings.LastIndexByte(lower, '/'); slash >= 0 {
		folders, name = "/"+lower[:slash]+"/", lower[slash+1:]
	}
	stem, ext := name, ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		stem, ext = name[:dot], name[dot+1:]
	}
	switch {
	case ext == "md" || ext == "rst" || ext == "adoc" || ext == "markdown":
		return "a document"
	case papers[stem] && (ext == "" || ext == "txt" || ext == "html"):
		return "a document"
	case locks[name]:
		return "a lock file"
	case tooling[name] || strings.Contains(folders, "/.github/") || strings.Contains(folders, "/.circleci/"):
		return "a tool's configuration"
	case strings.HasSuffix(name, "_test.go"), ext == "java" && strings.Contains(folders, "/src/test/"):
		return "a test"
	case isTest(folders, stem, ext):
		return "a test"
	}
	return ""
}

func isTest(folders, stem, ext string) bool {
	inTests := false
	for _, folder := range []string{"/test/", "/tests/", "/__tests__/", "/spec/"} {
		inTests = inTests || strings.Contains(folders, folder)
	}
	switch ext {
	case "js", "mjs", "cjs", "ts", "tsx", "jsx":
		return inTests && (strings.HasSuffix(stem, ".test") || strings.HasSuffix(stem, ".spec") || strings.HasSuffix(stem, "-test") || strings.HasSuffix(stem, "_test") || strings.HasPrefix(stem, "test"))
	case "py":
		return inTests && (strings.HasPrefix(stem, "test_") || strings.HasSuffix(stem, "_test") || stem == "conftest")
	case "php":
		return inTests && strings.HasSuffix(stem, "test")
	}
	return false
}

func names(list string) map[string]bool {
	out := map[string]bool{}
	for name := range strings.FieldsSeq(list) {
		out[name] = true
	}
	return out
}

var (
	papers  = names("changelog changes history license licence readme authors contributors contributing copying notice thanks todo news security code_of_conduct upgrading")
	locks   = names("package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml composer.lock poetry.lock pipfile.lock cargo.lock bun.lockb")
	tooling = names(".travis.yml .gitignore .npmignore .gitattributes .editorconfig .eslintrc .eslintrc.json .eslintrc.js .eslintignore .jshintrc .prettierrc .nycrc appveyor.yml .mailmap codeowners renovate.json")
)

// unread are the keys of a package.json that nothing which loads the package looks at.
var unread = []string{"version", "description", "keywords", "author", "contributors", "maintainers", "license", "licenses", "repository", "bugs", "homepage", "funding",
	"devDependencies", "gitHead", "nyc", "eslintConfig", "jest", "ava", "xo", "standard", "prettier", "files"}

// sameManifest says whether a package.json is the same but for such keys.
func sameManifest(f diff.Touched) bool {
	if f.Path[strings.LastIndexByte(f.Path, '/')+1:] != "package.json" {
		return false
	}
	before, after := manifest(f.Before), manifest(f.After)
	return before != nil && after != nil && reflect.DeepEqual(before, after)
}

func manifest(text []byte) map[string]any {
	if len(text) > 1<<20 {
		return nil
	}
	var out map[string]any
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), &out); err != nil {
		return nil
	}
	for _, key := range unread {
		delete(out, key)
	}
	return out
}
