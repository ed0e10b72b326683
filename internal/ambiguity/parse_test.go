package ambiguity

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"crisol"
)

func matches(t *testing.T, pattern, flags, text string) bool {
	t.Helper()
	e, err := Parse(pattern, flags)
	if err != nil {
		t.Fatalf("parse %q: %v", pattern, err)
	}
	matched, _, over := compile(e).run([]rune(text), 1_000_000)
	if over {
		t.Fatalf("%q on %q takes too long", pattern, text)
	}
	return matched
}

// TestMatching gives for each expression texts that it matches and, after them, texts that it doesn't.
func TestMatching(t *testing.T) {
	for _, c := range []struct {
		pattern, flags string
		yes, no        []string
	}{
		{`^\d{2,3}$`, "", []string{"12", "123"}, []string{"1", "1234"}},
		{`^a{2}b{,2}c{1,}$`, "P", []string{"aac", "aabbcc"}, []string{"aabbbc", "aab"}},
		{`^b{,2}$`, "", []string{"b{,2}"}, []string{"bb"}},
		{`^a{x}{$`, "", []string{"a{x}{"}, []string{"a"}},
		{`^(?:ab){2,}?c$`, "", []string{"ababc", "abababc"}, []string{"abc"}},
		{`^(?:a?){3}b$`, "", []string{"b", "aaab"}, []string{"aaaab"}},
		{`^(?:a?){2,}b$`, "", []string{"b", "aaaab"}, []string{"c"}},
		{`^(?:a*)*b$`, "", []string{"b", "aab"}, []string{"aa"}},
		{`^(a)\1$`, "", []string{"aa"}, []string{"a", "ab"}},
		{`^(?<q>['"])x\k<q>$`, "", []string{`"x"`, `'x'`}, []string{`"x'`}},
		{`^(?P<q>['"])x(?P=q)$`, "P", []string{`"x"`}, []string{`"x'`}},
		{`^\1(a)$`, "", []string{"a"}, []string{"aa"}},
		{`^(a)\2$`, "", []string{"a\x02"}, []string{"aa"}},
		{`^\101\x41\u0041\cA\0\/$`, "", []string{"AAA\x01\x00/"}, []string{"A"}},
		{`^\u{1F600}$`, "u", []string{"😀"}, []string{"u"}},
		{`^\u{3}$`, "", []string{"uuu"}, []string{"\x03"}},
		{`^\xg\u12$`, "", []string{"xgu12"}, nil},
		{`^\U0001F600\a$`, "P", []string{"😀\a"}, nil},
		{`^[\w-]+[^\D\S]?[\b][]$`, "", nil, []string{"a", ""}},
		{`^[^]$`, "", []string{"\n", "a"}, []string{""}},
		{`^[]a]+$`, "P", []string{"]a"}, []string{"b"}},
		{`^[^]a]+$`, "P", []string{"bc"}, []string{"]"}},
		{`^[a-c-e\d-z]+$`, "", []string{"b-e5-z"}, []string{"d", "y"}},
		{`^[[a]$`, "", []string{"[", "a"}, []string{"b"}},
		{`\bcat\b`, "", []string{"a cat."}, []string{"concat", "cats"}},
		{`\Bcat`, "", []string{"concat"}, []string{"cat"}},
		{`^b$`, "m", []string{"a\nb\nc"}, []string{"ab"}},
		{`a$`, "", []string{"a"}, []string{"a\n", "ab"}},
		{`a$`, "P", []string{"a", "a\n"}, []string{"a\n\n", "ab"}},
		{`\Aa\Z`, "P", []string{"a"}, []string{"a\n", "ba"}},
		{`a.b`, "", []string{"axb"}, []string{"a\nb"}},
		{`a.b`, "s", []string{"a\nb"}, nil},
		{`HeLLo`, "i", []string{"hEllO"}, []string{"hell"}},
		{`^[^k]$`, "i", []string{"j"}, []string{"K", "k"}},
		{`^É$`, "i", []string{"é"}, []string{"e"}},
		{`(?i:A)b(?-i:c)`, "", []string{"abc", "Abc"}, []string{"aBc"}},
		{`a(?i)b`, "P", []string{"aB"}, []string{"AB"}},
		{"a b # c\n [ ]c", "x", []string{"ab c"}, []string{"a bc"}},
		{`x(?=y)`, "", []string{"xy"}, []string{"xz", "x"}},
		{`^x(?!y)`, "", []string{"xz", "x"}, []string{"xy"}},
		{`(?<=x)y`, "", []string{"xy"}, []string{"y", "zy"}},
		{`(?<!x)y`, "", []string{"y", "zy"}, []string{"xy"}},
		{`(?<=^a+)b`, "", []string{"aab"}, []string{"cab"}},
		{`(?<=(?:a|bb){2})c`, "", []string{"abbc", "aac"}, []string{"bbc"}},
		{`(?=(a+))b?\1b`, "", []string{"aab"}, []string{"b"}},
		{`^(?>a+)b`, "P", []string{"aab"}, []string{"aa"}},
		{`^(?>a*)a`, "P", nil, []string{"aaa"}},
		{`^a*+a`, "P", nil, []string{"aaa"}},
		{`^(?:a|ab)++c`, "P", []string{"aac"}, []string{"abc"}},
		{`^(x)?(?(1)y|z)`, "P", []string{"xy", "z"}, []string{"a"}},
		{`a(?#note)b`, "P", []string{"ab"}, nil},
		{`a`, "y", []string{"ab"}, []string{"ba"}},
		{`a`, "yZ", []string{"a"}, []string{"ab", "a\n"}},
		{`^\p{Lu}\P{Lu}\pL\p{^L}$`, "u", []string{"Aaa1"}, []string{"aaaa"}},
		{`^\p{Script=Greek}$`, "u", []string{"α"}, []string{"a"}},
		{`^\p{White_Space}\p{Emoji}$`, "u", []string{" a"}, nil},
		{`^\p{2}$`, "", []string{"pp"}, nil},
		{`a||b`, "", []string{"", "x"}, nil},
		{`^\s\S\W\D\w$`, "", []string{"\ufeffx-a_"}, []string{"     "}},
	} {
		for _, text := range c.yes {
			if !matches(t, c.pattern, c.flags, text) {
				t.Errorf("/%s/%s doesn't match %q", c.pattern, c.flags, text)
			}
		}
		for _, text := range c.no {
			if matches(t, c.pattern, c.flags, text) {
				t.Errorf("/%s/%s matches %q", c.pattern, c.flags, text)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ pattern, flags, says string }{
		{`a`, "k", "unknown flag"},
		{`(a`, "", "never closed"},
		{`(?:a`, "", "never closed"},
		{`(?i`, "", "never closed"},
		{`a)`, "", "unmatched"},
		{`*a`, "", "nothing to repeat"},
		{`a**`, "", "nothing to repeat"},
		{`a{3,2}`, "", "wrong way round"},
		{`[z-a]`, "", "wrong way round"},
		{`[a`, "", "never closed"},
		{`[a\`, "", "never closed"},
		{`a\`, "", "backslash"},
		{`(?P=x)`, "", "doesn't exist"},
		{`(?<a>x)\k<b>`, "", "doesn't exist"},
		{`(?<a`, "", "no >"},
		{`(?~a)`, "", "unknown kind"},
		{`\u{110000}`, "u", `wrong \u{}`},
		{strings.Repeat("(", 1000) + strings.Repeat(")", 1000), "", "too deep"},
		{strings.Repeat(`\pL`, 1000), "u", "too many ranges"},
		{strings.Repeat("a", maxPattern+1), "", "20001 characters"},
	} {
		_, err := Parse(c.pattern, c.flags)
		if err == nil || !strings.Contains(err.Error(), c.says) || crisol.KindOf(err) != crisol.KindInput {
			t.Errorf("%.20q: %v, want %q", c.pattern, err, c.says)
		}
	}
}

func TestApproximations(t *testing.T) {
	e, err := Parse(`(a)(?=b)(?<=c)\1(?>d)e*+(?(1)f)\p{Nonsense}`, "P")
	if err != nil {
		t.Fatal(err)
	}
	want := "[Unicode property Nonsense atomic group backreference conditional group lookahead lookbehind possessive quantifier]"
	if got := fmt.Sprint(Search(e, Limits{}).Approximations); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// randomPattern makes an expression of what Go's regexp reads, too.
func randomPattern(r *rand.Rand, depth int) string {
	atoms := []string{"a", "b", "c", ".", "[ab]", "[^a]", `\w`, `\b`, "^", "$"}
	var b strings.Builder
	for range 1 + r.IntN(4) {
		part := atoms[r.IntN(len(atoms))]
		if depth > 0 && r.IntN(3) == 0 {
			part = []string{"(", "(?:"}[r.IntN(2)] + randomPattern(r, depth-1) + ")"
		}
		switch part {
		case "^", "$", `\b`:
		default:
			part += []string{"", "", "", "*", "+", "?", "*?", "+?", "{2}", "{1,2}", "{2,}?"}[r.IntN(11)]
		}
		b.WriteString(part)
		if r.IntN(6) == 0 {
			b.WriteString("|")
		}
	}
	return b.String()
}

// TestMatchingAgainstGo compares the backtracking matcher with Go's automata, which can't be wrong in the same way.
func TestMatchingAgainstGo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1500 {
		pattern := randomPattern(r, 3)
		other, err := regexp.Compile(pattern)
		if err != nil {
			t.Fatalf("%q: %v", pattern, err)
		}
		e, err := Parse(pattern, "")
		if err != nil {
			t.Fatalf("%q: %v", pattern, err)
		}
		p := compile(e)
		for range 4 {
			text := strings.Map(func(rune) rune { return rune("abc-"[r.IntN(4)]) }, strings.Repeat("x", r.IntN(9)))
			matched, _, over := p.run([]rune(text), 2_000_000)
			if want := other.MatchString(text); !over && matched != want {
				t.Errorf("/%s/ on %q: %v, want %v", pattern, text, matched, want)
			}
		}
	}
}

func TestText(t *testing.T) {
	f := Family{Prefix: "x", Pump: "é,", Suffix: "!"}
	for size, want := range map[int]string{0: "xé,!", 6: "xé,é,!", 7: "xé,é,!", 102: "x" + strings.Repeat("é,", 50) + "!"} {
		if got := f.Text(size); got != want {
			t.Errorf("size %d: %q, want %q", size, got, want)
		}
	}
	if got := f.String(); got != ` "x" + "é,"... + "!"` {
		t.Error(got)
	}
}

// FuzzParse holds Parse and Search to their bounds, and every family to its word.
func FuzzParse(f *testing.F) {
	for _, c := range expressions {
		f.Add(c.pattern, c.flags)
	}
	for _, seed := range []string{`(?<=a+)(\1b)*`, `((((a{1,9}){1,9}){1,9}){1,9}){1,9}`, `[\u{1F600}-\u{1F64F}]+`, `(?i)(?:\p{L}+)*x`, `(a?){99999}{99999}`, `((a*)*)*`, `\b\B^$`} {
		f.Add(seed, "Pmu")
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, pattern, flags string) {
		start := time.Now()
		e, err := Parse(pattern, flags)
		if err != nil {
			return
		}
		limits := Limits{States: 150, Work: 20_000, Steps: 50_000}
		r := Search(e, limits)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("/%q/%s takes %v", pattern, flags, took)
		}
		for _, family := range r.Families {
			if family.Pump == "" || !utf8.ValidString(family.Text(50)) {
				t.Errorf("/%q/%s: %v", pattern, flags, family)
			}
		}
	})
}
