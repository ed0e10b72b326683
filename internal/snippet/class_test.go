package snippet

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"
)

const good = `{"names": ["mp"], "title": "misplaced thing", "cwe": ["CWE-1"],
 "languages": {"python": {"kit": "kit.py", "example": {"affected_code": "a", "patch_code": "b"}}},
 "exploits": [{"id": "x", "title": "x", "payload": ["../../f"], "derive": {"form": "path", "without": ["doubled"]}}, {"id": "y", "payload": 1, "slow": [10, 20]}],
 "benign": [{"id": "b", "payload": "f"}]}`

func folder(classes map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range classes {
		fsys[name+"/class.json"] = &fstest.MapFile{Data: []byte(text)}
		fsys[name+"/kit.py"] = &fstest.MapFile{}
	}
	return fsys
}

func TestReadClasses(t *testing.T) {
	r, err := readClasses(folder(map[string]string{"misplaced": good}))
	if err != nil {
		t.Fatal(err)
	}
	k, err := r.find("Misplaced Thing")
	if err != nil || k.Type != "misplaced" {
		t.Fatal(k, err)
	}
	var payloads []string
	if err := json.Unmarshal(k.Exploits[0].Payload, &payloads); err != nil || payloads[0] != "../../f" || len(payloads) < 10 {
		t.Errorf("%s, %v", k.Exploits[0].Payload, err)
	}
	for _, p := range payloads {
		if strings.HasPrefix(p, "....//") {
			t.Errorf("a variant that was left out: %s", p)
		}
	}
	m := k.manifest(Python, k.Languages[Python])
	if slow := m.Exploits[1]; slow.Run[2] != "slow" || slow.Oracle == nil || slow.Oracle.Slow == nil || m.Exploits[0].Oracle != nil {
		t.Errorf("%+v", m.Exploits)
	}
}

func TestRefusedClasses(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{`"names"`, `"nmes"`, "unknown field"},
		{`"title": "misplaced thing", `, ``, "it needs a title"},
		{`"exploits": [`, `"exploits": [], "benign": [`, "exploits"},
		{`{"id": "b", "payload": "f"}`, `{"id": "b", "payload": "f", "optional": true}`, "a benign input that isn't optional"},
		{`"python"`, `"cobol"`, "no language of snippets"},
		{`kit.py`, `kit.js`, "kit.js"},
		{`"patch_code": "b"`, `"patch_code": ""`, "needs an example"},
		{`"id": "y"`, `"id": "x"`, "an id of its own"},
		{`"payload": "f"`, `"title": "f"`, "a payload"},
		{`["../../f"]`, `"../../f"`, "a list of payloads"},
		{`"form": "path"`, `"form": "bath"`, `no form "bath"`},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if text == good {
			t.Fatalf("%s isn't in the class", c.from)
		}
		if _, err := readClasses(folder(map[string]string{"misplaced": text})); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.to, err)
		}
	}
	other := strings.Replace(good, "misplaced thing", "other thing", 1)
	if _, err := readClasses(folder(map[string]string{"misplaced": good, "other": other})); err == nil || !strings.Contains(err.Error(), `"mp" names both`) {
		t.Errorf("%v", err)
	}
	if _, err := readClasses(fstest.MapFS{"empty/kit.py": {}}); err == nil {
		t.Error("a folder without class.json is no class")
	}
}

// TestOwnClasses: every class that is embedded reads, and its examples can be wrapped.
func TestOwnClasses(t *testing.T) {
	r, err := classes()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range r.all {
		for language, of := range k.Languages {
			if made, err := Wrap(k.Type, of.Example.Affected, of.Example.Patched); err != nil || made.Language != language {
				t.Errorf("the example of %s in %s: %v, %+v", k.Type, language, err, made)
			}
		}
	}
}
