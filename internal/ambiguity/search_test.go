package ambiguity

import (
	"slices"
	"testing"
)

func find(t *testing.T, pattern, flags string) Result {
	t.Helper()
	e, err := Parse(pattern, flags)
	if err != nil {
		t.Fatalf("parse %q: %v", pattern, err)
	}
	return Search(e, Limits{})
}

// worst is the kind and degree of the worst family that was found.
func worst(r Result) (Kind, int) {
	if len(r.Families) == 0 {
		return "", 0
	}
	kind, degree := r.Families[0].Kind, 0
	for _, f := range r.Families {
		if f.Kind.rank() == kind.rank() {
			degree = max(degree, f.Degree)
		}
	}
	return kind, degree
}

var expressions = []struct {
	pattern, flags string
	kind           Kind
	degree         int
}{
	// Exponential, as textbooks have it.
	{`^(a+)+$`, "", Exponential, 0},
	{`^(a*)*$`, "", Exponential, 0},
	{`(a|a)*b`, "", Exponential, 0},
	{`^(a|aa)+$`, "", Exponential, 0},
	{`^(\w+\s?)*$`, "", Exponential, 0},
	{`^([a-zA-Z0-9]+)*\.com$`, "", Exponential, 0},
	{`(?:a*b*)*c`, "", Exponential, 0},
	{`^(?:.*,)+(.+)?$`, "", Exponential, 0},
	{`^(([a-z])+.)+[A-Z]([a-z])+$`, "", Exponential, 0},
	{`^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$`, "", Exponential, 0},
	{`^(\w{1,30}\s?){1,60}$`, "", Exponential, 0},
	{`(?i)^(k|K)+$`, "P", Exponential, 0},
	{`x(?=(a+)+$)`, "", Exponential, 0},
	{`^(?P<w>b+)+(?P=w)c`, "P", Exponential, 0},
	{`^(?:(?!a)\w|[b-d])+$`, "", Exponential, 0},
	// Polynomial by themselves.
	{`^\d+\d+$`, "", Polynomial, 2},
	{`^\s*\s*\s*$`, "", Polynomial, 3},
	{`^a*[^x]*$x?`, "", Polynomial, 2},
	{`^.*=.*;$`, "", Polynomial, 2},
	{`^([\s\S]*?)(\/?|)((?:\.{1,2}|[^\/]+?|)(\.[^.\/]*|))(?:[\/]*)$`, "", Polynomial, 2},
	{`^((?:\d+)?\.?\d+) *(ms|s)?$`, "i", Polynomial, 2},
	// Polynomial by searching.
	{`\s+$`, "", Restart, 2},
	{`[^,]*,`, "", Restart, 2},
	{`,\s*$`, "", "", 0}, // a comma has to come first
	{`^\s+|\s+$`, "g", Restart, 2},
	{`((?:\d+)?\.?\d+) *(ms|s)$`, "i", Polynomial, 3},
	{`\bfoo\s*\(.*\)`, "", Restart, 2},
	{`^a+$`, "m", "", 0},
	// Harmless.
	{`\s+$`, "y", "", 0},
	{`^\s+$`, "", "", 0},
	{`^(a+b)+$`, "", "", 0},
	{`a+`, "", "", 0},
	{`^(a|b)*c$`, "", "", 0},
	{`(a*)*`, "", "", 0}, // matches everything
	{`^[\w.]+@[\w-]+\.[a-z]{2,}$`, "", "", 0},
	{`^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?$`, "", "", 0},
	{`^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$`, "i", "", 0},
	{`^\d{3}-\d{4}$`, "", "", 0},
	{`^(?>a+)+$`, "P", "", 0},
	{`^(?:a+)++$`, "P", "", 0},
	{`a{1,20}$`, "", "", 0},
	{``, "", "", 0},
}

func TestSearch(t *testing.T) {
	for i, c := range expressions {
		r := find(t, c.pattern, c.flags)
		if !r.Complete {
			t.Errorf("/%s/%s: cut short", c.pattern, c.flags)
		}
		if kind, degree := worst(r); kind != c.kind || degree != c.degree {
			t.Errorf("/%s/%s: %q of degree %d, want %q of %d: %v", c.pattern, c.flags, kind, degree, c.kind, c.degree, r.Families)
		}
		if i%5 != 0 {
			continue
		}
		if again := find(t, c.pattern, c.flags); !slices.Equal(again.Families, r.Families) {
			t.Errorf("/%s/%s: %v, and then %v", c.pattern, c.flags, r.Families, again.Families)
		}
	}
}

// TestFinalLineFeed holds a suffix to the language: only Python's $ passes over a line feed.
func TestFinalLineFeed(t *testing.T) {
	for flags, want := range map[string]string{"": "\n", "P": "\n\n"} {
		r := find(t, `^(.*,)+(.+)?$`, flags)
		if len(r.Families) == 0 || r.Families[0].Suffix != want {
			t.Errorf("flags %q: %v, want the suffix %q", flags, r.Families, want)
		}
	}
}

func TestAlternative(t *testing.T) {
	for _, c := range []struct{ pattern, want string }{
		{`\s+$`, "\t"},
		{`^(?:a|b|ab)+$`, ""}, // both characters are told from each other and from all others
		{`^(\d+)+$`, "1"},
		{`^(?:[ab]+x)+x$|^(?:[ab]+[ab]x)+y$`, ""},
	} {
		r := find(t, c.pattern, "")
		if c.want == "" {
			for _, f := range r.Families {
				if f.Alternative == f.Pump {
					t.Errorf("/%s/: %v has itself as its alternative", c.pattern, f)
				}
			}
			continue
		}
		if len(r.Families) == 0 || r.Families[0].Alternative != c.want {
			t.Errorf("/%s/: %+v, want the alternative %q", c.pattern, r.Families, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	e, err := Parse(`^(a+)+(?:b*)*(\s+\s+)*;$`, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, limits := range map[string]Limits{"states": {States: 2}, "work": {Work: 1}, "steps": {Steps: 50}, "families": {Families: 1}} {
		r := Search(e, limits)
		if r.Complete || (limits.Families == 1 && len(r.Families) != 1) {
			t.Errorf("few %s: complete %v, %v", name, r.Complete, r.Families)
		}
	}
	if r := Search(e, Limits{}); !r.Complete || len(r.Families) < 3 {
		t.Errorf("complete %v, %v", r.Complete, r.Families)
	}
	dismissed, err := Parse(`(a+)+`, "")
	if err != nil {
		t.Fatal(err)
	}
	if r := Search(dismissed, Limits{}); !r.Complete || r.Dismissed == 0 || len(r.Families) > 0 {
		t.Errorf("%+v", r)
	}
}
