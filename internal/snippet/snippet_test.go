package snippet_test

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"crisol"
	"crisol/internal/scenario"
	"crisol/internal/snippet"
)

const (
	concat = `db.query("SELECT * FROM users WHERE name = '" + name + "'", callback)`
	bound  = `db.query("SELECT * FROM users WHERE name = ?", [name], callback)`
)

func TestWrap(t *testing.T) {
	made, err := snippet.Wrap("sql_injection", concat, bound)
	if err != nil {
		t.Fatal(err)
	}
	s := made.Scenario
	if s.ID != "snippet/sql_injection/javascript" || s.Kit != "node" || s.Target.Dir != "app" || s.Target.Reference != (scenario.Fix{}) {
		t.Errorf("%+v", s.Manifest)
	}
	for name, want := range map[string]string{"app/snippet.js": concat, "affected/snippet.js": concat} {
		if got, err := fs.ReadFile(s.Files, name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got, err := fs.ReadFile(made.Patched, "snippet.js"); err != nil || string(got) != bound {
		t.Errorf("patched: %q, %v", got, err)
	}
	for _, x := range s.Exploits {
		if !x.Optional || !json.Valid(x.Payload) || x.Run[0] != "node" {
			t.Errorf("%+v", x)
		}
	}
	if s.Benign[0].Optional {
		t.Error("no benign input is required")
	}
	if err := s.Materialise(t.TempDir()); err != nil {
		t.Error(err)
	}
}

// TestDigests: each snippet counts, and so does the class.
func TestDigests(t *testing.T) {
	wrap := func(class, affected, patched string) *snippet.Case {
		t.Helper()
		made, err := snippet.Wrap(class, affected, patched)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	a, same := wrap("sql_injection", concat, bound), wrap("SQLi", concat, bound)
	if a.Scenario.Digest != same.Scenario.Digest || a.PatchDigest != same.PatchDigest {
		t.Error("the same case has two digests")
	}
	if b := wrap("sql_injection", concat+" ", bound); b.Scenario.Digest == a.Scenario.Digest || b.PatchDigest != a.PatchDigest {
		t.Error("the affected snippet doesn't count, or counts for the patch")
	}
	if b := wrap("sql_injection", concat, bound+" "); b.Scenario.Digest != a.Scenario.Digest || b.PatchDigest == a.PatchDigest {
		t.Error("the patched snippet doesn't count, or counts for the scenario")
	}
	if b := wrap("path_traversal", concat, bound); b.Scenario.Digest == a.Scenario.Digest || b.PatchDigest == a.PatchDigest {
		t.Error("the class doesn't count")
	}
}

func TestNames(t *testing.T) {
	for class, names := range map[string][]string{
		"sql_injection":       {"sql_injection", "SQL Injection", "sql-injection", "sqli", "SQLi", "CWE-89", "cwe-89"},
		"path_traversal":      {"path_traversal", "Path Traversal", "directory traversal", "LFI", "CWE-22"},
		"prototype_pollution": {"prototype_pollution", "Prototype Pollution", "prototype-pollution", "CWE-1321", "CWE-915"},
		"code_injection":      {"code_injection", "Code Injection", "eval injection", "SSTI", "CWE-94", "CWE-95"},
		"deserialisation":     {"deserialisation", "deserialization", "Insecure Deserialization", "unsafe-deserialisation", "Deserialization of Untrusted Data", "CWE-502"},
	} {
		for _, name := range names {
			if made, err := snippet.Wrap(name, concat, bound); err != nil || made.Scenario.Vulnerability.Type != class {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestUnwrappable(t *testing.T) {
	for _, c := range []struct{ class, affected, patched, want string }{
		{"", concat, bound, "vulnerability.type is missing"},
		{"teleportation", concat, bound, `snippets of type "teleportation"`},
		{"rce", concat, bound, "command_injection, code_injection or deserialisation"},
		{"CWE-913", concat, bound, "code_injection, deserialisation or prototype_pollution"},
		{"sqli", "", bound, "affected_code is empty"},
		{"sqli", concat, " \n", "patch.code is empty"},
		{"sqli", concat, "Use a parameterized query", "doesn't look like code"},
		{"sqli", concat, "--- a/db.js\n+++ b/db.js\n@@ -1 +1 @@\n-a\n+b\n", "a diff"},
		{"sqli", "<?php $q = mysqli_query($db, $sql);", bound, "PHP"},
		{"sqli", concat, "SELECT * FROM users WHERE name = ?", "affected_code looks like JavaScript and patch.code like SQL text"},
		{"sqli", "const run = () => " + concat, "def find(cur, name):\n    cur.execute('SELECT 1 WHERE name = ?', (name,))\n    return None\n", "and patch.code like Python"},
		{"sqli", "String q = \"SELECT * FROM users WHERE name = '\" + name + \"'\";\nStatement s = c.createStatement();", bound, "Java"},
		{"sqli", "func find(name string) {\n\trows := db.Query(name)\n}", bound, "Go"},
		{"sqli", "async function find(name: string): Promise<User[]> { return db.query(name) }", bound, "TypeScript"},
		{"path_traversal", "SELECT 1 FROM t", "SELECT 2 FROM t", "can't be tried for path_traversal"},
		{"prototype pollution", "def merge(a, b):\n    a.update(b)\n    return a", "def merge(a, b):\n    return {**a, **b}", "a snippet of Python can't be tried for prototype_pollution, only one of JavaScript"},
		{"sqli", concat + strings.Repeat("\n//", 40000), bound, "bytes"},
	} {
		_, err := snippet.Wrap(c.class, c.affected, c.patched)
		if err == nil || crisol.KindOf(err) != crisol.KindInput || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %.40q %.40q: %v", c.class, c.affected, c.patched, err)
			continue
		}
		if !strings.Contains(err.Error(), "bytes") && !strings.Contains(crisol.HintOf(err), `"affected_code"`) {
			t.Errorf("%v has no example: %s", err, crisol.HintOf(err))
		}
	}
}

// TestLanguages: a text that could be of two languages takes the other's.
func TestLanguages(t *testing.T) {
	for _, c := range []struct {
		affected, patched string
		want              snippet.Language
	}{
		{concat, bound, snippet.JavaScript},
		{"cursor.execute(\"SELECT * FROM users WHERE id = \" + user_id)", "cursor.execute(\"SELECT * FROM users WHERE id = %s\", (user_id,))", snippet.Python},
		{"cursor.execute('SELECT 1 FROM t WHERE a = ' + x)\nreturn cursor.fetchall()", "db.query(x)", snippet.Python},
		{"query = 'SELECT * FROM t WHERE a = ' + x", "const query = 'SELECT * FROM t WHERE a = ?'", snippet.JavaScript},
		{"-- find\nSELECT * FROM t WHERE a = '${x}'", "select * from t where a = ?", snippet.SQL},
		{"UPDATE t SET a = '{x}'", "WITH q AS (SELECT 1) SELECT * FROM q", snippet.SQL},
		{"try {\n  const a = await db.query(`SELECT ${x}`)\n} catch (e) {\n}", "let a = 1;", snippet.JavaScript},
		{"def f(x):\n    return open('/srv/' + x)", "def f(x):\n    return open(x)", snippet.Python},
	} {
		made, err := snippet.Wrap("sqli", c.affected, c.patched)
		if err != nil || made.Language != c.want {
			t.Errorf("%.50q, %.50q: %v, want %s", c.affected, c.patched, err, c.want)
		}
	}
}

func FuzzWrap(f *testing.F) {
	f.Add("sqli", concat, bound)
	f.Add("path traversal", "def f(x): return open(x)", "SELECT 1 FROM t")
	f.Fuzz(func(t *testing.T, class, affected, patched string) {
		made, err := snippet.Wrap(class, affected, patched)
		switch {
		case err != nil && crisol.KindOf(err) != crisol.KindInput:
			t.Fatal(err)
		case err == nil && (made.Scenario.Digest == "" || made.PatchDigest == "" || len(made.Scenario.Exploits) == 0):
			t.Fatalf("%+v", made)
		}
	})
}
