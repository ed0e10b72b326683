package ambiguity

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func show(literals []Literal) []string {
	var all []string
	for _, l := range literals {
		line := []string{"/" + l.Pattern + "/" + l.Flags}
		if l.Partial {
			line = append(line, "partial")
		}
		all = append(all, strings.Join(line, " "))
	}
	return all
}

func TestLiterals(t *testing.T) {
	for _, c := range []struct {
		name, language, source string
		want                   []string
	}{
		{"literals", "javascript", "var a = /x+/g, b = f(/[/]\\//i)", []string{"/x+/g", `/[/]\//i`}},
		{"division", "js", "a = b / c / d; e = (f) / g / 2; h = i[0] / j / k; l++ / m / n; 1 / 2 / 3; o.return / p / q", nil},
		{"keywords", "js", "return /a/; case /b/: typeof /c/", []string{"/a/", "/b/", "/c/"}},
		{"heads", "js", "if (a) /x/.test(b); while ((c)) /y/.test(d)", []string{"/x/", "/y/"}},
		{"block", "js", "{ a }\n/x/.test(b)", []string{"/x/"}},
		{"no end", "js", "a = {}\n/ 2\nb = /x/", []string{"/x/"}},
		{"comments", "js", "#!/usr/bin/x/y\n// /a/\n/* /b/\n */ c = /d/ /* e", []string{"/d/"}},
		{"strings", "js", `a = "/x/" + '/\'y/' + "\
/z/"; b = /w/`, []string{"/w/"}},
		{"templates", "js", "a = `/x/ ${b / c / `${/y/}`} /z/`; d = /w/", []string{"/y/", "/w/"}},
		{"constructors", "js", `new RegExp("a\\d+", 'gi'); RegExp('\x62\u0063\u{64}\n\0\v')`, []string{`/a\d+/gi`, "/bcd\n\x00\v/"}},
		{"raw", "js", "new RegExp(String.raw`\\d+`, `g`)", []string{`/\d+/g`}},
		{"joined", "js", `const p = ['a+', "b+"].join('|'); return new RegExp(p, once ? undefined : 'g')`, []string{"/a+|b+/"}},
		{"sums", "js", "var A = 'a', B = /b+/; exports.re = new RegExp('^' + A + B.source + \"$\")", []string{"/b+/", "/^ab+$/"}},
		{"substitution", "js", "const A = 'a+'; new RegExp(`^(?:${A})*$`)", []string{"/^(?:a+)*$/"}},
		{"partly known", "js", "new RegExp('^(?:' + list.map(f).join('|') + ')[' + more[0] + ']+$', 'i')", []string{`/^(?:(?:))[\x00]+$/i partial`}},
		{"unknown", "js", "new RegExp(a); RegExp(b + c(d, e), 'g'); new RegExp(/x/); new RegExp(", []string{"/x/"}},
		{"given anew", "js", "var a = 'x'; RegExp(a); a = f(); RegExp(a); a = 'y'\nRegExp(a)", []string{"/x/", "/y/"}},
		{"python", "python", "import re\nA = re.compile(r'\\d+', re.I | re.DOTALL)\nre.match('b', s)\nre.sub(\"c\", d, e, flags=re.M)\nre.fullmatch('f', s)",
			[]string{`/\d+/Pis`, "/b/Py", "/c/Pm", "/f/PyZ"}},
		{"python strings", "py", "import re\nre.compile('''a\n\"b\"'c''')\nre.compile(u\"\\x61\\u0062\\n\\d\\141\\a\" # why\n  b'e')\nre.split(Rb'\\'f', s)",
			[]string{"/a\n\"b\"'c/P", "/ab\n\\da\ae/P", `/\'f/P`}},
		{"python names", "py", "import re as r, os\nfrom re import (compile as c,\n search)\nr.compile('a')\nc('b')\nsearch('d', s)\nother.match('e')\nmatch('f')", []string{"/a/P", "/b/P", "/d/P"}},
		{"python constants", "py", "import re\nA = 'a'\n'doc'\nB = ('b'\n 'c')\nre.compile(A + B)\nre.compile('(%s|%s)%%' % (A, B))\nre.compile('{}x{{1}}'.format(A))\nre.compile('|'.join([A, B]))\nre.compile(rf'\\d{A}{{2}}')\nre.compile(re.escape('.') + A)",
			[]string{"/abc/P", "/(a|bc)%/P", "/ax{1}/P", "/a|bc/P", `/\da{2}/P`, `/\.a/P`}},
		{"python holes", "py", "import re\nre.compile('a(%s)*' % f(x))\nre.compile('b%(n)s' % d)\nre.compile('{x}c'.format(x=1))\nre.compile(f'd{x!r}')\nre.compile(g)\nre.compile('e' + '|'.join(x for x in y))",
			[]string{"/a((?:))*/P partial", "/b(?:)/P partial", "/(?:)c/P partial", "/d(?:)/P partial", "/e(?:)/P partial"}},
		{"python uses", "py", "import re\nA = re.compile('a')\nB = re.compile('b')\nC = re.compile('c')\nA.match(s)\nB.match(s)\nB.search(s)\nC.fullmatch(s)", []string{"/a/Py", "/b/P", "/c/PyZ"}},
		{"python comments", "py", "import re\n# re.compile('a')\n're.compile(\"b\")'\nx = 'never ended\nre.compile('c')", []string{"/c/P"}},
		{"another language", "go", "re.compile('a') /b/", nil},
	} {
		if got := show(Literals([]byte(c.source), c.language)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestLiteralsKnowTheirLines(t *testing.T) {
	js := "a = `\n${\n/x/}`\n/*\n*/ 'b\\\nc'; /y/\nRegExp('z')"
	py := "import re\n'''\n'''\nre.compile(\n'x')\n\nre.compile('y')"
	var lines []int
	for _, l := range append(Literals([]byte(js), "js"), Literals([]byte(py), "py")...) {
		lines = append(lines, l.Line)
	}
	if want := []int{3, 6, 7, 4, 7}; !slices.Equal(lines, want) {
		t.Errorf("%v, want %v", lines, want)
	}
}

// TestLiteralsStayQuick feeds sources that are nothing but beginnings.
func TestLiteralsStayQuick(t *testing.T) {
	for _, part := range []string{"/[", "(", "x=[", "x=(", "`${", "RegExp(", "RegExp('a'+(", "re.compile('a'+", "import re,", "from re import (", "f'{", "x='a'+x+x\n", "'%s'%(", "x='a'.join(", "\\", "f'{x}{", "'''"} {
		source := []byte("import re\n" + strings.Repeat(part, 2_000))
		for _, language := range []string{"js", "py"} {
			start := time.Now()
			Literals(source, language)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%q in %s takes %v", part, language, took)
			}
		}
	}
	if got := Literals(make([]byte, maxSource+1), "js"); got != nil {
		t.Errorf("%d literals in too large a source", len(got))
	}
}

// FuzzLiterals looks for sources that make the lexers panic or lose their way.
func FuzzLiterals(f *testing.F) {
	for _, seed := range []string{"a = /x/g + `${b}` / 2", "import re\nre.compile(f'{a}' r'b' % c, re.I)", "new RegExp(['a', `b${c}`].join('|'))"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		lines := strings.Count(source, "\n") + 1
		for _, language := range []string{"js", "py"} {
			for _, l := range Literals([]byte(source), language) {
				if l.Line < 1 || l.Line > lines {
					t.Errorf("%q: line %d of %d", source, l.Line, lines)
				}
			}
		}
	})
}
