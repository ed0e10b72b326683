package corpus

import "encoding/json"

// entries lists the modules that a package.json says the package is entered by: its main, what it exports to require and
// to import, and its programs.
func entries(manifest []byte) (list []string) {
	var m struct {
		Main    string          `json:"main"`
		Exports json.RawMessage `json:"exports"`
		Bin     json.RawMessage `json:"bin"`
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return []string{"index"}
	}
	if m.Main == "" {
		m.Main = "index"
	}
	list = append(list, m.Main)
	var exports, bin any
	if json.Unmarshal(m.Exports, &exports) == nil {
		list = exported(list, exports)
	}
	if json.Unmarshal(m.Bin, &bin) == nil {
		list = exported(list, bin)
	}
	return list
}

// exported gathers the files of "exports" or "bin": a name, or mappings of conditions and subpaths to such.
func exported(list []string, v any) []string {
	switch v := v.(type) {
	case string:
		return append(list, v)
	case map[string]any:
		for key, value := range v {
			if key != "types" && key != "browser" && key != "import" {
				list = exported(list, value)
			}
		}
	}
	return list
}
