package ambiguity_test

import (
	"strings"
	"testing"

	"crisol/internal/ambiguity"
)

func TestFind(t *testing.T) {
	for _, test := range []struct {
		pattern, flags, text string
		found, ok            bool
	}{
		{"b+", "", "abc", true, true},
		{"^b", "", "abc", false, true},
		{"B", "i", "abc", true, true},
		{"^(a+)+$", "", strings.Repeat("a", 30) + "b", false, false},
	} {
		e, err := ambiguity.Parse(test.pattern, test.flags)
		if err != nil {
			t.Fatal(err)
		}
		found, ok := e.Matcher().Find(test.text, 10_000)
		if found != test.found || ok != test.ok {
			t.Errorf("/%s/%s in %q: %v, %v", test.pattern, test.flags, test.text, found, ok)
		}
	}
}
