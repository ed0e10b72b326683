package features

import (
	"strings"
	"testing"
)

// TestProbes asks conditions about hostile and ordinary texts.
func TestProbes(t *testing.T) {
	guarded := func(condition string) string {
		return strings.Replace(setter, "    obj[key] = value\n", "    if ("+condition+") return\n    obj[key] = value\n", 1)
	}
	all := want{"probe_stops": 1, "probe_harm": 0, "probe_apart": 1, "probe_amiss": 0}
	third := want{"probe_stops": 1. / 3, "probe_harm": 0, "probe_apart": 1. / 3}
	none := want{"probe_stops": 0, "probe_harm": 0, "probe_apart": 0, "probe_amiss": 0}
	amiss := want{"probe_stops": 2. / 3, "probe_harm": 1, "probe_apart": 0, "probe_amiss": 1. / 3}
	for _, test := range []struct {
		name, condition, before string
		want                    want
	}{
		{"all names", "key === '__proto__' || key === 'constructor' || key === 'prototype'", "", all},
		{"one name", "key === '__proto__'", "", third},
		{"another word", "key === '__prot__'", "", none},
		{"inverted", "key !== '__proto__'", "", amiss},
		{"contradiction", "key === '__proto__' && key === 'constructor'", "", none},
		{"list", "bad.includes(key)", "const bad = ['__proto__', 'constructor', 'prototype']\n", all},
		{"list inverted", "bad.indexOf(key) === -1", "const bad = ['__proto__', 'constructor']\n", want{"probe_harm": 1, "probe_amiss": 2. / 3}},
		{"set", "bad.has(key)", "const bad = new Set(['__proto__', 'constructor', 'prototype'])\n", all},
		{"expression", "bad.test(key)", "const bad = /^(__proto__|constructor|prototype)$/\n", all},
		{"helper", "odd(key)", "function odd(k) {\n  if (k === '__proto__' || k === 'prototype') return true\n  return k === 'constructor'\n}\n", all},
		{"arrow", "!safe(key)", "const safe = k => k !== '__proto__' && k !== 'constructor' && k !== 'prototype'\n", all},
		{"some of a path", "keys.some(odd)", "function odd(k) { return ['__proto__', 'constructor', 'prototype'].includes(k) }\n", all},
		{"unknown helper", "odd(key)", "", none},
		{"depends on more", "strict(obj) && key === '__proto__'", "", none},
		{"or more", "strict(obj) || key === '__proto__'", "", third},
		{"throughout", "key.length > 0", "", none},
	} {
		t.Run(test.name, func(t *testing.T) {
			expect(t, change(t, "prototype_pollution", "a.js", setter, test.before+guarded(test.condition)), test.want)
		})
	}
	strict := guarded("key === '__proto__'")
	expect(t, change(t, "prototype_pollution", "a.js", setter, strict), want{"probe_lists": 0, "probe_share": 1. / 3})
	expect(t, change(t, "prototype_pollution", "a.js", setter, guarded("String(key) === '__proto__'")), want{"probe_lists": 1. / 3})
	expect(t, change(t, "path_traversal", "a.py", "def f(name):\n    return open(name)\n", "def f(name):\n    if '..' in name:\n        raise ValueError(name)\n    return open(name)\n"),
		want{"probe_stops": 4. / 6, "probe_harm": 1. / 6})
	expect(t, change(t, "command_injection", "a.py", "import os\ndef f(name):\n    os.system('ls ' + name)\n", "import os, re\nSAFE = re.compile(r'[\\w@./-]+$')\ndef f(name):\n    if not SAFE.match(name):\n        raise ValueError(name)\n    os.system('ls ' + name)\n"),
		want{"probe_stops": 11. / 12, "probe_harm": 0})
	expect(t, change(t, "redos", "a.js", "exports.f = s => {\n  return /(x+)+y/.test(s)\n}\n", "const MAX = 1 << 10\nexports.f = s => {\n  if (s.length > MAX) return false\n  return /(x+)+y/.test(s)\n}\n"),
		want{"probe_stops": 1, "probe_harm": 0, "probe_share": 1})
	expect(t, change(t, "redos", "a.js", "exports.f = s => {\n  return /(x+)+y/.test(s)\n}\n", "exports.f = s => {\n  if (s.length > 10) return false\n  return /(x+)+y/.test(s)\n}\n"),
		want{"probe_stops": 0})
}

type want map[string]float64

// expect compares features of an input.
func expect(t *testing.T, in Input, want want) {
	t.Helper()
	v, report := Compute(in)
	if len(report.Missing)+len(report.Lexical) > 0 {
		t.Fatalf("report %+v", report)
	}
	for name, want := range want {
		at := featureAt(name)
		if at < 0 {
			t.Fatalf("no feature %s", name)
		}
		if diff := v[at] - want; diff > 1e-9 || diff < -1e-9 {
			t.Errorf("%s = %v, want %v; %s", name, v[at], want, show(v))
		}
	}
}

// TestProbesEnd takes functions that call themselves and each other, and conditions that go on and on.
func TestProbesEnd(t *testing.T) {
	for name, text := range map[string]string{
		"recursion": "function odd(k) { return odd(k) || even(k) }\nfunction even(k) { return odd(k) && even(k) }\n",
		"itself":    "const odd = odd\n",
		"circle":    "const odd = even\nconst even = odd\n",
		"wide":      "function odd(k) { return " + strings.Repeat("even(k) || ", 200) + "k === '__proto__' }\nfunction even(k) { return " + strings.Repeat("odd(k) && ", 200) + "k === 'a' }\n",
	} {
		t.Run(name, func(t *testing.T) {
			after := text + strings.Replace(setter, "    obj[key] = value\n", "    if (odd(key)) return\n    obj[key] = value\n", 1)
			Compute(change(t, "prototype_pollution", "a.js", setter, after))
		})
	}
}
