package main_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is a fenced block in a document: shell commands, or a file that its first line names in a comment.
var (
	block    = regexp.MustCompile("(?s)```(sh|js|yaml)\n(.*?)```")
	fileName = regexp.MustCompile(`^(?://|#) ([a-z-]+/[a-z-]+\.(?:js|yaml))\n`)
)

// wanted exit codes of documented commands that do not end with 0.
var documentedExit = map[string]int{
	"crisol validate CVE-2019-10744 --upgrade pkg:npm/lodash@4.17.11": 1,
}

// step is a command that a document shows, or a file that it says to write.
type step struct{ command, file, text string }

// steps lists what a document says to do; of commands without their comments.
func steps(t *testing.T, document string) (list []step) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", document))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range block.FindAllStringSubmatch(string(text), -1) {
		if found[1] != "sh" {
			if name := fileName.FindStringSubmatch(found[2]); name != nil {
				list = append(list, step{file: name[1], text: found[2]})
			}
			continue
		}
		for line := range strings.Lines(found[2]) {
			command, _, _ := strings.Cut(line, "  #")
			if command = strings.TrimSpace(strings.SplitN(command, " #", 2)[0]); command != "" {
				list = append(list, step{command: command})
			}
		}
	}
	return list
}

// TestDocumentedCommands runs every command that the documents show, in a directory with the files that they name.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	var s *service
	for _, document := range []string{"README.md", "docs/scenarios.md", "docs/service.md"} {
		dir := t.TempDir()
		fixtures(t, dir)
		list := steps(t, document)
		if len(list) == 0 {
			t.Fatalf("%s shows no commands", document)
		}
		for _, step := range list {
			command := step.command
			switch {
			case step.file != "":
				if err := os.WriteFile(filepath.Join(dir, step.file), []byte(step.text), 0o600); err != nil {
					t.Errorf("%s: %v", document, err) // the folder is of a command before
				}
				continue
			case strings.HasPrefix(command, "make "):
				isTarget(t, strings.Fields(command)[1])
				continue
			case command == "crisol serve" && s != nil: // it runs already
				continue
			case command == "crisol serve":
				s = serve(t, data, freeAddr(t))
				continue
			case strings.HasPrefix(command, "curl "):
				if s == nil {
					t.Fatalf("%s: %q comes before crisol serve", document, command)
				}
				stream := strings.HasPrefix(command, "curl -sN ")
				command = strings.ReplaceAll(command, "http://127.0.0.1:8026", s.base) + " --fail-with-body"
				if stream { // it goes on until it is ended: by curl, with exit code 28
					command += " --max-time 2 || test $? = 28"
				}
			case strings.Contains(command, "--fixed ./my-lodash"):
				fixedLodash(t, dir, data)
			}
			if code, out := shell(t, dir, data, command); code != documentedExit[command] {
				t.Errorf("%s: %q: exit %d, want %d\n%s", document, command, code, documentedExit[command], out)
			}
			if strings.HasPrefix(command, "crisol scenario new my-scenario") {
				written(t, dir) // the exploit has been written in the meantime
			}
		}
	}
}

func shell(t *testing.T, dir, data, command string) (int, string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "CRISOL_DATA="+data)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// fixtures writes the files that the documents name.
func fixtures(t *testing.T, dir string) {
	t.Helper()
	patch, err := os.ReadFile("testdata/lodash-fix.diff")
	if err != nil {
		t.Fatal(err)
	}
	request, err := json.Marshal(map[string]any{"apv_id": "apv-001", "cve_id": "CVE-2019-10744", "patch_id": "p-7", "patch_diff": string(patch), "wait": "3m"})
	if err != nil {
		t.Fatal(err)
	}
	const advisory = "GHSA-c4w7-xm78-47vh.json"
	record, err := os.ReadFile("../../internal/advisory/testdata/osv/" + advisory)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"fix.diff": patch, "request.json": request, advisory: record} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// fixedLodash copies the fixed version, which an earlier command prepared, to ./my-lodash.
func fixedLodash(t *testing.T, dir, data string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(data, "targets", "trees", "*", "tree", "node_modules", "lodash"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tree := range found {
		body, err := os.ReadFile(filepath.Join(tree, "package.json"))
		if err != nil || !strings.Contains(string(body), `"version": "4.17.12"`) {
			continue
		}
		if err := os.CopyFS(filepath.Join(dir, "my-lodash"), os.DirFS(tree)); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no prepared lodash 4.17.12 among %v", found)
}

// written puts a finished scenario in the place of a started one.
func written(t *testing.T, dir string) {
	t.Helper()
	folder := filepath.Join(dir, "my-scenario")
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(folder, os.DirFS("testdata/tiny")); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(folder, "scenario.yaml")
	body, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, []byte(strings.Replace(string(body), "id: tiny", "id: my-scenario", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func isTarget(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile("(?m)^" + regexp.QuoteMeta(name) + ":").Match(text) {
		t.Errorf("the Makefile has no target %s", name)
	}
}

// TestDemo runs what `make run` shows before it starts the service.
func TestDemo(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("../../scripts/demo", binary)
	cmd.Env = append(os.Environ(), "CRISOL_DEMO_ONLY=1", "CRISOL_DATA="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\nFIXED") || !strings.Contains(string(out), "\nNOT FIXED") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// named are tests that the threat model names: `package` TestThis, TestThat.
var named = regexp.MustCompile("`([a-z/]+)` ((?:Test|Fuzz)[A-Za-z0-9]+(?:, (?:Test|Fuzz)[A-Za-z0-9]+)*)")

// TestThreatModelNamesTests: whatever the threat model says is shown by a test is a test.
func TestThreatModelNamesTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	found := named.FindAllStringSubmatch(string(text), -1)
	if len(found) < 20 {
		t.Fatalf("%d mentions of tests", len(found))
	}
	for _, mention := range found {
		files, err := filepath.Glob("../../internal/" + mention[1] + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		var code strings.Builder
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(text)
		}
		for _, name := range strings.Split(mention[2], ", ") {
			if !strings.Contains(code.String(), "func "+name+"(") {
				t.Errorf("there is no test %s in internal/%s", name, mention[1])
			}
		}
	}
}
