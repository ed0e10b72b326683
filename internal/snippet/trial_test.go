package snippet_test

import (
	"encoding/json"
	"hash/crc32"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"crisol"
	"crisol/internal/app"
	"crisol/internal/snippet"
	"crisol/internal/wargame"
)

// one is a patch of the table and the verdict that it must get.
type one struct {
	class, name, affected, patch string
	want                         crisol.Verdict
}

// table reads testdata/CLASS.txtar: LANGUAGE/CASE/affected, and beside it LANGUAGE/CASE/VERDICT-NAME.
func table(t *testing.T, class string) []one {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", class+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	affected := map[string]string{}
	var list []one
	for _, file := range archive.Files {
		if path.Base(file.Name) == "affected" {
			affected[path.Dir(file.Name)] = string(file.Data)
			continue
		}
		verdict, _, _ := strings.Cut(path.Base(file.Name), "-")
		list = append(list, one{class, file.Name, affected[path.Dir(file.Name)], string(file.Data), crisol.Verdict(verdict)})
	}
	return list
}

// turns is in how many days TestTrials has gone through all of the tables; CRISOL_SNIPPETS=all has it do so at once.
const turns = 3

// due says whether a case is tried today.
func due(name string) bool {
	if os.Getenv("CRISOL_SNIPPETS") == "all" {
		return true
	}
	return int(crc32.ChecksumIEEE([]byte(name))%turns) == time.Now().YearDay()%turns
}

// TestTrials fights over the patches of the tables, another third of the cases each day, with real exploits in the
// sandbox. Each exploit is run once: how often repeats are needed is wargame's to test.
func TestTrials(t *testing.T) {
	a, err := app.Open(t.Context(), app.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		class := strings.TrimSuffix(filepath.Base(file), ".txtar")
		cases := map[string][]one{}
		for _, c := range table(t, class) {
			cases[path.Dir(c.name)] = append(cases[path.Dir(c.name)], c)
		}
		for dir, patches := range cases {
			if !due(class + "/" + dir) {
				continue
			}
			t.Run(class+"/"+dir, func(t *testing.T) {
				t.Parallel()
				for _, c := range patches { // one after the other: what is learnt of the vulnerable side is kept
					t.Run(path.Base(c.name), func(t *testing.T) { fight(t, a, c) })
				}
			})
		}
	}
}

func fight(t *testing.T, a *app.App, c one) {
	made, err := snippet.Wrap(c.class, c.affected, c.patch)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.SplitN(c.name, "/", 2)[0]; got != string(made.Language) {
		t.Errorf("taken for %s", made.Language)
	}
	order := wargame.Order{
		Scenario: made.Scenario, Candidate: wargame.Candidate{Tree: made.Patched}, Repeat: 1,
		SelfTest: crisol.Gate{Name: crisol.GateSelfTest, Outcome: crisol.Passed, Evidence: "not under test"},
	}
	started := time.Now()
	report, err := a.Arena.Run(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	got := decide(report)
	t.Logf("%s after %s: %s", got.Verdict, time.Since(started).Round(time.Millisecond), got.Reason)
	if strings.Contains(got.Reason, "PyYAML is not in the sandbox") {
		t.Skip(got.Reason)
	}
	if got.Verdict != c.want {
		t.Errorf("%s instead of %s: %s", got.Verdict, c.want, got.Reason)
		for _, gate := range report.Gates {
			for _, check := range gate.Checks {
				if check.Outcome == crisol.Passed {
					continue
				}
				for _, run := range check.Runs {
					t.Logf("%s %s on %s: %s\n%s%s", gate.Name, check.ID, check.Side, check.Outcome, run.Stdout, run.Stderr)
				}
			}
		}
	}
}

// TestExamples: what is shown as an example comes out fixed.
func TestExamples(t *testing.T) {
	a, err := app.Open(t.Context(), app.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		for _, c := range table(t, strings.TrimSuffix(filepath.Base(file), ".txtar")) {
			made, err := snippet.Wrap(c.class, c.affected, c.patch)
			if err != nil {
				t.Fatal(err)
			}
			name := c.class + "/" + string(made.Language)
			if seen[name] {
				continue
			}
			seen[name] = true
			var request crisol.Request
			if err := json.Unmarshal([]byte(made.Example[strings.Index(made.Example, "{"):]), &request); err != nil {
				t.Fatal(err)
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				fight(t, a, one{c.class, string(made.Language) + "/example", request.Vulnerability.AffectedCode, request.Patch.Code, crisol.Fixed})
			})
		}
	}
}
