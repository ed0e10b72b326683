package target_test

import (
	"strings"
	"testing"

	"crisol"
	"crisol/internal/target"
)

func TestParsePackage(t *testing.T) {
	for purl, want := range map[string]target.Package{
		"pkg:npm/lodash@4.17.11":                                {Ecosystem: "npm", Name: "lodash", Version: "4.17.11"},
		"pkg:npm/%40babel/core@7.0.0-beta.1":                    {Ecosystem: "npm", Name: "@babel/core", Version: "7.0.0-beta.1"},
		"pkg:npm/@babel/core@7.0.0":                             {Ecosystem: "npm", Name: "@babel/core", Version: "7.0.0"},
		" pkg:pypi/Zope.Interface@5.0\n":                        {Ecosystem: "pypi", Name: "zope.interface", Version: "5.0"},
		"pkg:pypi/my_thing@1!2.0rc1.post2":                      {Ecosystem: "pypi", Name: "my-thing", Version: "1!2.0rc1.post2"},
		"pkg:golang/github.com/BurntSushi/toml@v1.3.0":          {Ecosystem: "golang", Name: "github.com/BurntSushi/toml", Version: "v1.3.0"},
		"pkg:golang/x.org/y@v2.0.0%2Bincompatible":              {Ecosystem: "golang", Name: "x.org/y", Version: "v2.0.0+incompatible"},
		"pkg:golang/x.org/y@v0.0.0-20200622213623-75b288015ac9": {Ecosystem: "golang", Name: "x.org/y", Version: "v0.0.0-20200622213623-75b288015ac9"},
		"pkg:maven/org.yaml/snakeyaml@1.30":                     {Ecosystem: "maven", Name: "org.yaml:snakeyaml", Version: "1.30"},
		"pkg:cargo/small_vec@1.6.0":                             {Ecosystem: "cargo", Name: "small_vec", Version: "1.6.0"},
		"pkg://NPM/lodash@4.17.11":                              {Ecosystem: "npm", Name: "lodash", Version: "4.17.11"},
	} {
		got, err := target.ParsePackage(purl)
		if err != nil || got.Ecosystem != want.Ecosystem || got.Name != want.Name || got.Version != want.Version {
			t.Errorf("%q: %+v %v", purl, got, err)
			continue
		}
		again, err := target.ParsePackage(got.String())
		if err != nil || again != got {
			t.Errorf("%q: written %s, read %+v %v", purl, got, again, err)
		}
		if name, err := target.Ecosystem(purl); err != nil || name != want.Ecosystem {
			t.Error(name, err)
		}
	}
}

func TestParsePackageRefuses(t *testing.T) {
	for purl, says := range map[string]string{
		"":                                    "not a package URL",
		"lodash@4.17.11":                      "not a package URL",
		"pkg:gem/rails@1.0":                   `type "gem" is not supported`,
		"pkg:npm":                             "missing",
		"pkg:npm/lodash":                      "the version is missing",
		"pkg:npm/lodash@latest":               `"latest" is not an exact version`,
		"pkg:npm/lodash@^4.0.0":               "not an exact version",
		"pkg:npm/lodash@4":                    "not an exact version",
		"pkg:npm/..@1.0.0":                    "",
		"pkg:npm/--global@1.0.0%20x":          "not an exact version",
		"pkg:npm/%2e%2e%2fx@1.0.0":            "",
		"pkg:npm/lodash@4.17.11?os=x":         `qualifier "os" is not supported`,
		"pkg:npm/lodash@4.17.11#lib":          `subpath "lib" is not supported`,
		"pkg:pypi/jinja2@2.10;x":              "not an exact version",
		"pkg:pypi/-r@1":                       "not a name that pypi knows",
		"pkg:golang/github.com/x/y@1.2.3":     "1.2.3",
		"pkg:golang/github.com/x/y@v1.2":      "v1.2",
		"pkg:golang/github.com/x/y/v2@v1.0.0": "v1.0.0",
		"pkg:maven/snakeyaml@1.30":            "not a name that maven knows",
		"pkg:maven/a%3Ab/c@1.30":              "not a name that maven knows",
		"pkg:cargo/a%22b@1.0.0":               "not a name that cargo knows",
		"pkg:npm/%zz@1.0.0":                   "",
	} {
		got, err := target.ParsePackage(purl)
		if err == nil {
			t.Errorf("%q: %+v", purl, got)
			continue
		}
		fails(t, err, crisol.KindInput, says, "types: npm, pypi, golang, maven, cargo")
		if !strings.Contains(err.Error(), "package \"") {
			t.Error(err)
		}
	}
}

// FuzzParsePackage: whatever parses becomes arguments and paths of clients, and must be harmless as such.
func FuzzParsePackage(f *testing.F) {
	for _, seed := range []string{"pkg:npm/%40babel/core@7.0.0", "pkg:pypi/a@1", "pkg:golang/x.org/y@v1.0.0", "pkg:maven/a/b@1", "pkg:cargo/a@1.0.0", "pkg:npm/../x@1.0.0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, purl string) {
		p, err := target.ParsePackage(purl)
		if err != nil {
			if crisol.KindOf(err) != crisol.KindInput {
				t.Fatal(err)
			}
			return
		}
		for _, word := range []string{p.Name, p.Version} {
			if word == "" || word[0] == '-' || word[0] == '/' || strings.Contains(word, "..") && strings.Contains(word, "/../") ||
				strings.ContainsAny(word, " \t\n\x00\"'`$;|&<>\\") || strings.HasPrefix(word, "../") {
				t.Fatalf("%q: %q", purl, word)
			}
		}
		again, err := target.ParsePackage(p.String())
		if err != nil || again != p {
			t.Fatalf("%q: %+v, written and read %+v %v", purl, p, again, err)
		}
	})
}
