package variant

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"crisol"
)

// example is a payload of each form, and variants that must come of it.
var examples = map[string]struct {
	base string
	hint map[string]string
	want map[string]string // id to payload
}{
	"object": {`{"__proto__":{"polluted":"yes"}}`, nil, map[string]string{
		"constructor":             `{"constructor":{"prototype":{"polluted":"yes"}}}`,
		"nested-proto":            `{"inner":{"__proto__":{"polluted":"yes"}}}`,
		"renamed":                 `{"__proto__":{"isAdmin":true}}`,
		"in-array":                `[{"__proto__":{"polluted":"yes"}}]`,
		"null-source":             `{"$null":{"__proto__":{"polluted":"yes"}}}`,
		"class-source":            `{"$class":{"constructor":{"prototype":{"polluted":"yes"}}}}`,
		"deep-constructor":        `{"inner":{"inner":{"inner":{"constructor":{"prototype":{"polluted":"yes"}}}}}}`,
		"null-source-constructor": `{"$null":{"constructor":{"prototype":{"polluted":"yes"}}}}`,
	}},
	"keys": {`"a.__proto__.polluted"`, nil, map[string]string{
		"constructor":   `"a.constructor.prototype.polluted"`,
		"renamed":       `"a.__proto__.isAdmin"`,
		"brackets":      `"a[__proto__][polluted]"`,
		"double-quoted": `"a[\"__proto__\"][\"polluted\"]"`,
		"list":          `["a","__proto__","polluted"]`,
		"list-in-list":  `["a",["__proto__"],"polluted"]`,
		"list-boxed":    `["a",{"$boxed":"__proto__"},"polluted"]`,
		"leading":       `".a.__proto__.polluted"`,
		"doubled":       `"a.__proto__..polluted"`,
	}},
	"query": {`"__proto__[polluted]=yes"`, nil, map[string]string{
		"constructor": `"constructor[prototype][polluted]=yes"`,
		"encoded":     `"%5F%5Fproto%5F%5F[polluted]=yes"`,
		"dotted":      `"__proto__.polluted=yes"`,
		"renamed":     `"__proto__[isAdmin]=yes"`,
	}},
	"path": {`"static/../../secret.txt"`, map[string]string{"absolute": "/work/secret.txt", "sibling": "../www-evil/secret.txt"}, map[string]string{
		"encoded":        `"static/%2e%2e%2f%2e%2e%2fsecret.txt"`,
		"encoded-twice":  `"static/%252e%252e%252f%252e%252e%252fsecret.txt"`,
		"doubled":        `"static/....//....//secret.txt"`,
		"backslash":      `"static/..\\..\\secret.txt"`,
		"null-byte":      `"static/../../secret.txt\u0000.png"`,
		"absolute":       `"/work/secret.txt"`,
		"prefix-sibling": `"../www-evil/secret.txt"`,
		"higher":         `"static/../../../../../../../../../../work/secret.txt"`,
	}},
	"shell": {`"file.txt; touch marker #"`, map[string]string{"option": "--pager=touch marker"}, map[string]string{
		"and":          `"file.txt && touch marker #"`,
		"newline":      `"file.txt\ntouch marker\n"`,
		"backticks":    "\"file.txt`touch marker`\"",
		"substitution": `"file.txt$(touch marker)"`,
		"ifs":          `"file.txt;touch${IFS}marker;"`,
		"single-quote": `"file.txt'; touch marker #"`,
		"option":       `"--pager=touch marker"`,
	}},
	"script": {`"process.exit()"`, map[string]string{"code": `return "x"`}, map[string]string{
		"object-constructor": `"({}).constructor.constructor(\"return \\\"x\\\"\")()"`,
		"computed":           `"({})[\"const\" + \"ructor\"][\"const\" + \"ructor\"](\"return \\\"x\\\"\")()"`,
		"parentheses":        `"(process.exit())"`,
	}},
	"sql": {`"' OR 1=1 --x"`, map[string]string{"union": "SELECT 1", "stacked": "DELETE FROM t"}, map[string]string{
		"single-quote": `"' OR '1'='1"`,
		"numeric":      `"1 OR 1=1"`,
		"double-quote": `"\" OR \"1\"=\"1"`,
		"union":        `"' UNION SELECT 1 --"`,
		"stacked":      `"'; DELETE FROM t; --"`,
		"no-spaces":    `"'OR(1)=(1)--"`,
	}},
	"html": {`"<b onclick=alert(1)>"`, map[string]string{"script": "hit()"}, map[string]string{
		"script":                `"<script>hit()</script>"`,
		"img-case":              `"<ImG sRc=x OnErRoR=hit()>"`,
		"double-quote":          `"\" onmouseover=\"hit()\" x=\""`,
		"javascript-case":       `"JaVaScRiPt:hit()"`,
		"script-nested":         `"<scr<script>ipt>hit()</scr</script>ipt>"`,
		"a-javascript-entities": `"<a href=\"&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;hit()\">x</a>"`,
	}},
	"url": {`"http://127.0.0.1:8081/admin?x=1"`, nil, map[string]string{
		"decimal":       `"http://2130706433:8081/admin?x=1"`,
		"hexadecimal":   `"http://0x7f000001:8081/admin?x=1"`,
		"octal":         `"http://0177.00.00.01:8081/admin?x=1"`,
		"mapped":        `"http://[::ffff:127.0.0.1]:8081/admin?x=1"`,
		"short":         `"http://127.1:8081/admin?x=1"`,
		"ipv6-loopback": `"http://[::1]:8081/admin?x=1"`,
		"user":          `"http://example.com@127.0.0.1:8081/admin?x=1"`,
	}},
	"redirect": {`"https://evil.example"`, nil, map[string]string{
		"slashes":         `"//evil.example"`,
		"slash-backslash": `"/\\evil.example"`,
		"user":            `"https://trusted.example@evil.example"`,
		"tab":             `"/\t/evil.example"`,
	}},
	"xml": {`"<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///s\">]><a>&x;</a>"`, nil, map[string]string{
		"public":       `"<!DOCTYPE a [<!ENTITY e PUBLIC \"-//x//y\" \"file:///s\">]><a>&e;</a>"`,
		"parameter":    `"<!DOCTYPE a [<!ENTITY % p '<!ENTITY e SYSTEM \"file:///s\">'>%p;]><a>&e;</a>"`,
		"external-dtd": `"<!DOCTYPE a SYSTEM \"file:///s\"><a>x</a>"`,
	}},
	"pump": {`{"prefix":"a","pump":" ","suffix":"b"}`, nil, map[string]string{
		"bang":         `{"prefix":"a","pump":" ","suffix":"!"}`,
		"doubled":      `{"prefix":"a","pump":"  ","suffix":"b"}`,
		"other-spaces": `{"prefix":"a","pump":"\t","suffix":"b"}`,
	}},
}

func TestForms(t *testing.T) {
	if got := slices.Sorted(maps.Keys(examples)); !slices.Equal(got, Forms()) {
		t.Fatalf("examples of %v, forms %v", got, Forms())
	}
	id := regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	for name, example := range examples {
		list, err := Derive(name, json.RawMessage(example.base), example.hint)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if About(name) == "" {
			t.Errorf("%s says nothing of itself", name)
		}
		got, payloads := map[string]string{}, map[string]bool{example.base: true}
		for _, v := range list {
			if !id.MatchString(v.ID) || v.Title == "" || got[v.ID] != "" || payloads[string(v.Payload)] || !json.Valid(v.Payload) {
				t.Errorf("%s: %+v", name, v)
			}
			got[v.ID], payloads[string(v.Payload)] = string(v.Payload), true
		}
		for id, payload := range example.want {
			if got[id] != payload {
				t.Errorf("%s: %s is %s, not %s", name, id, got[id], payload)
			}
		}
		again, err := Derive(name, json.RawMessage(example.base), example.hint)
		if err != nil || !slices.EqualFunc(list, again, func(a, b Variant) bool { return a.ID == b.ID && string(a.Payload) == string(b.Payload) }) {
			t.Errorf("%s: another result at the second time (%v)", name, err)
		}
	}
}

// TestSameIntent shows that a variant of one way to the prototype is a variant of every other.
func TestSameIntent(t *testing.T) {
	for name, bases := range map[string][]string{
		"object": {`{"constructor":{"prototype":{"polluted":"yes"}}}`, `[{"x":{"__proto__":{"polluted":"yes"}}}]`},
		"keys":   {`["__proto__","polluted"]`, `[["__proto__"],"polluted"]`, `"constructor.prototype.polluted"`, `"[\"__proto__\"].polluted"`},
		"query":  {`"?constructor[prototype][polluted]=1"`, `"%5F%5Fproto__[polluted]=1"`},
		"shell":  {"\"`touch x`\"", `"a$(touch x)b"`, `"a | touch x"`, `"\ntouch x\n"`},
	} {
		for _, base := range bases {
			if list, err := Derive(name, json.RawMessage(base), nil); err != nil || len(list) < 5 {
				t.Errorf("%s of %s: %d variants, %v", name, base, len(list), err)
			}
		}
	}
	separated, err := Derive("keys", json.RawMessage(`"__proto__/polluted"`), map[string]string{"separator": "/"})
	if err != nil || !slices.ContainsFunc(separated, func(v Variant) bool { return string(v.Payload) == `"constructor/prototype/polluted"` }) {
		t.Errorf("%v %v", separated, err)
	}
}

func TestNotOfTheForm(t *testing.T) {
	for _, c := range []struct {
		form, base string
		hint       map[string]string
		why        string
	}{
		{"objekt", `{}`, nil, "there is no form"},
		{"object", `{"a":1}`, nil, "reaches no prototype"},
		{"object", `{"a":[]`, nil, "read the payload"},
		{"keys", `"a.b"`, nil, "reaches no prototype"},
		{"keys", `["a"]`, nil, "reaches no prototype"},
		{"keys", `7`, nil, "must be a text"},
		{"query", `"a=%zz"`, nil, "reaches no prototype"},
		{"query", `"%zz=1"`, nil, "invalid URL escape"},
		{"query", `null`, nil, "must be a text"},
		{"path", `"/etc/passwd"`, nil, "no ../"},
		{"path", `"../x"`, map[string]string{"code": "x"}, "takes no code"},
		{"shell", `"touch x"`, nil, "no command follows"},
		{"script", `"1"`, nil, "give it as code"},
		{"url", `"http://example.com/"`, nil, "no IPv4 address"},
		{"url", `"http://[::1]/"`, nil, "no IPv4 address"},
		{"url", `"http://%zz/"`, nil, "invalid URL"},
		{"xml", `"<a/>"`, nil, "names no external entity"},
		{"pump", `{"prefix":"a"}`, nil, "has no pump"},
		{"sql", `1`, nil, "must be a text"}, {"html", `1`, nil, "must be a text"}, {"redirect", `""`, nil, "must be a text"},
		{"path", `1`, nil, "must be a text"}, {"shell", `1`, nil, "must be a text"}, {"script", `1`, nil, "must be a text"},
		{"xml", `1`, nil, "must be a text"}, {"url", `1`, nil, "must be a text"},
	} {
		list, err := Derive(c.form, json.RawMessage(c.base), c.hint)
		if err == nil || !strings.Contains(err.Error(), c.why) || crisol.KindOf(err) != crisol.KindInput || list != nil {
			t.Errorf("%s of %s: %v, %v", c.form, c.base, list, err)
		}
	}
}

func FuzzDerive(f *testing.F) {
	for name, example := range examples {
		f.Add(name, example.base)
	}
	f.Fuzz(func(t *testing.T, name, base string) {
		list, err := Derive(name, json.RawMessage(base), nil)
		if err != nil {
			return
		}
		for _, v := range list {
			if !json.Valid(v.Payload) || v.ID == "" || string(v.Payload) == base {
				t.Errorf("%s of %q: %+v", name, base, v)
			}
		}
	})
}
