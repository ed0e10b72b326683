package scenario

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"crisol/internal/variant"
)

// varied is a manifest with payloads of every kind that YAML has.
const varied = `schema: crisol/v1
id: x
title: x
target: {package: pkg:npm/a@1.0.0, reference: {package: pkg:npm/a@2.0.0}}
kit: node
exploits:
  - {id: merge, run: [node, exploit.js], payload: {__proto__: {polluted: "yes", n: 1.5, list: [null, true]}}, derive: object}
  - {id: path, run: [node, exploit.js], payload: ../secret<&>, derive: {form: path, absolute: /work/secret}}
  - {id: plain, run: [node, exploit.js], payload: [1, "2"]}
benign:
  - {id: b, run: [node, benign.js], payload: "é"}
`

func withVariants(record string) fstest.MapFS {
	fsys := beside(varied)
	fsys[variantsName] = &fstest.MapFile{Data: []byte(record)}
	return fsys
}

func TestPayloads(t *testing.T) {
	s, err := Load(beside(varied), "")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`{"__proto__":{"list":[null,true],"n":1.5,"polluted":"yes"}}`, `"../secret<&>"`, `[1,"2"]`}
	for i, x := range s.Exploits {
		if string(x.Payload) != want[i] {
			t.Errorf("%s: %s", x.ID, x.Payload)
		}
	}
	if got := s.Exploits[1].Derive; !reflect.DeepEqual(got, &Derive{Form: "path", Hint: map[string]string{"absolute": "/work/secret"}}) {
		t.Errorf("%+v", got)
	}
	if string(s.Benign[0].Payload) != `"é"` || s.Exploits[2].Derive != nil {
		t.Errorf("%+v", s.Benign)
	}
}

func TestRecordedVariants(t *testing.T) {
	plain, err := Load(beside(varied), "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Load(withVariants(`{"exploits": {"path": [{"id": "encoded", "title": "encoded", "payload": "%2e"}]}, "left_out": {"path": {"x": "no"}}}`), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Exploits) != 4 {
		t.Fatalf("%+v", s.Exploits)
	}
	got, from := s.Exploits[3], s.Exploits[1]
	if got.ID != "path@encoded" || got.DerivedFrom != "path" || string(got.Payload) != `"%2e"` || got.Derive != nil || !reflect.DeepEqual(got.Run, from.Run) {
		t.Errorf("%+v", got)
	}
	if s.Digest == plain.Digest {
		t.Error("the record is no part of the scenario's version")
	}
	record, err := s.ReadVariants()
	if err != nil || record.LeftOut["path"]["x"] != "no" {
		t.Errorf("%+v %v", record, err)
	}
	if _, err := s.WorkFiles().Open(variantsName); err == nil {
		t.Error("the record is laid into the sandbox")
	}
}

func TestBadVariants(t *testing.T) {
	for record, why := range map[string]string{
		`{`:               "not a record of variants",
		`{"exploit": {}}`: "unknown field",
		`{"exploits": {"plain": [{"id": "a", "payload": 1}]}}`:                           `no exploit "plain" asks for variants`,
		`{"exploits": {"nobody": []}}`:                                                   `no exploit "nobody" asks for variants`,
		`{"exploits": {"path": [{"id": "a", "payload": 1}, {"id": "a", "payload": 2}]}}`: `duplicate id "path@a"`,
		`{"exploits": {"path": [{"id": "a b", "payload": 1}]}}`:                          `"a b" is not an id`,
		`{"exploits": {"path": [{"id": "a"}]}}`:                                          `variant "a" has no payload`,
		strings.Repeat(" ", maxVariants+1):                                               "bytes, 4194304 are allowed",
	} {
		_, err := Load(withVariants(record), "")
		if err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), variantsName) {
			t.Errorf("%.60s: %v", record, err)
		}
	}
	for line, why := range map[string]string{
		`{id: p, run: [node, exploit.js], derive: path}`:                                           "without a payload there is nothing to derive from",
		`{id: p, run: [node, exploit.js], payload: ../x, derive: paths}`:                           `unknown value "paths": did you mean "path"`,
		`{id: p, run: [node, exploit.js], payload: x, derive: path}`:                               "it has no ../ in it",
		`{id: p, run: [node, exploit.js], payload: ../x, derive: {form: path, absolut: /x}}`:       `did you mean "absolute"`,
		`{id: p, run: [node, exploit.js], payload: ../x, derive: {form: path, host: example.com}}`: "takes no host",
		`{id: p, run: [node, exploit.js], payload: ../x, derive: {absolute: /x}}`:                  `missing key "form"`,
		`{id: p, run: [node, exploit.js], payload: {1: x}}`:                                        "",
		`{id: p, run: [node, exploit.js], payload: .nan}`:                                          "can't be written as JSON",
	} {
		_, err := Load(beside(strings.Replace(varied, "{id: plain, run: [node, exploit.js], payload: [1, \"2\"]}", line, 1)), "")
		if why == "" {
			continue // any answer will do, a panic won't
		}
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", line, err)
		}
	}
	kitless := strings.Replace(strings.Replace(varied, "kit: node\n", "", 1), "payload: [1, \"2\"]}", "payload: 1, oracle: {exit: 0}}", 1)
	if _, err := Load(beside(kitless), ""); err == nil || !strings.Contains(err.Error(), "through a kit") {
		t.Error(err)
	}
}

func TestWriteVariants(t *testing.T) {
	folder := t.TempDir()
	want := Variants{
		Exploits: map[string][]variant.Variant{"path": {{ID: "a", Title: "<b>", Payload: json.RawMessage(`"&"`)}}},
		LeftOut:  map[string]map[string]string{"path": {"c": "no"}},
	}
	if err := WriteVariants(folder, want); err != nil {
		t.Fatal(err)
	}
	got, err := readVariants(os.DirFS(folder))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
	for range 2 { // once it is there, once it isn't
		if err := WriteVariants(folder, Variants{}); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, variantsName)); err == nil {
		t.Error("an empty record is kept")
	}
	if err := WriteVariants(filepath.Join(folder, "nowhere"), want); err == nil {
		t.Error("no error for a folder that isn't there")
	}
}

// TestLibraryVariants holds the library's records of variants against what would be derived today: nothing that the
// forms make is missing, and at least one exploit in each class that can be varied is.
func TestLibraryVariants(t *testing.T) {
	library, err := Library()
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]int{}
	for _, s := range library.All() {
		record, err := s.ReadVariants()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range s.Exploits {
			if x.Derive == nil {
				continue
			}
			list, err := variant.Derive(x.Derive.Form, x.Payload, x.Derive.Hint)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, v := range record.Exploits[x.ID] {
				seen[v.ID] = true
				classes[s.Vulnerability.Type]++
			}
			for id := range record.LeftOut[x.ID] {
				seen[id] = true
			}
			for _, v := range list {
				own := func(other Exploit) bool { return other.DerivedFrom == "" && string(other.Payload) == string(v.Payload) }
				if !seen[v.ID] && !slices.ContainsFunc(s.Exploits, own) {
					t.Errorf("%s: %s@%s was never tried: crisol scenario derive scenarios/%s", s.ID, x.ID, v.ID, s.ID)
					break
				}
			}
		}
	}
	for _, class := range []string{"prototype_pollution", "path_traversal", "command_injection", "code_injection", "redos"} {
		if classes[class] == 0 {
			t.Errorf("no variant of %s was derived", class)
		}
	}
	t.Logf("derived variants: %v", classes)
}
