package features

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/features.md")

// TestDocs holds docs/features.md to the table of features.
func TestDocs(t *testing.T) {
	const path = "../../docs/features.md"
	if *update {
		if err := os.WriteFile(path, []byte(document()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != document() {
		t.Errorf("%s differs from the features: go test ./internal/features -run Docs -update writes it", path)
	}
}

func document() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Features

What the models see of a patch: %d numbers, version %s. `+"`internal/features`"+` computes them from the vulnerability, the diff and,
where it is at hand, the text of the touched files before the patch. `+"`go test ./internal/features -run Docs -update`"+` writes this page.

A *dangerous operation* is one of the kind that the weakness is about: writes under a computed key for prototype pollution,
commands, files, queries, markup, matches of regular expressions, and so on by the name of what is called. *Touched* is what
holds a changed token. Numbers marked with a star need the source; they are missing when only the diff is at hand, and the
models take that as a value of its own.

The numbers whose names begin with *probe* come of working conditions out: every variable is taken to hold one of a few texts that
are typical of the weakness, or an ordinary one, and comparisons, searches and matches with constants of the file are followed, through
functions of the file. What hangs on anything else is unknown, and a condition that says the same to all texts counts for nothing.
Nothing is run.

| feature | what it is |
|---|---|
`, len(table), Version)
	for _, f := range table {
		star := ""
		if f.Source {
			star = "*"
		}
		fmt.Fprintf(&b, "| `%s`%s | %s |\n", f.Name, star, strings.ReplaceAll(f.Doc, "|", "\\|"))
	}
	fmt.Fprintf(&b, `
Beside these, n-grams of one to three removed or added tokens are counted in %d buckets. Names are kept but for the package's own;
strings, long numbers and regular expressions are reduced to their kind. They enter the models as one score, learnt out of fold.

What the features never see: tests, documents, lock files and data in the patch, its message, the official fix, and the name
or version of the package.
`, Buckets)
	return b.String()
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for i, f := range All() {
		switch {
		case f.Name == "" || f.Doc == "":
			t.Errorf("feature %d has no name or no text", i)
		case seen[f.Name]:
			t.Errorf("%s stands twice", f.Name)
		case f.Name != strings.ToLower(f.Name):
			t.Errorf("%s isn't in lower case", f.Name)
		}
		seen[f.Name] = true
	}
	if len(table) > 119 {
		t.Errorf("%d features", len(table))
	}
}
