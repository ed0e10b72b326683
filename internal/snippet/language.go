package snippet

import (
	"regexp"
	"strings"

	"crisol"
)

// Language is what a snippet is written in.
type Language string

// The languages that can be tried.
const (
	JavaScript Language = "javascript"
	Python     Language = "python"
	SQL        Language = "sql"
)

// String names the language for people.
func (l Language) String() string {
	switch l {
	case JavaScript:
		return "JavaScript"
	case Python:
		return "Python"
	case SQL:
		return "SQL text"
	}
	return string(l)
}

func (l Language) ext() string {
	return map[Language]string{JavaScript: "js", Python: "py", SQL: "sql"}[l]
}

// agree decides the language of both snippets, which must be one. A text that could be either of two languages takes
// the other text's.
func agree(affected, patched string) (Language, error) {
	a, errA := detect(affected)
	if errA != nil {
		return "", crisol.Errorf(crisol.KindInput, "affected_code %w", errA)
	}
	b, errB := detect(patched)
	if errB != nil {
		return "", crisol.Errorf(crisol.KindInput, "patch.code %w", errB)
	}
	switch {
	case a.language == b.language:
		return a.language, nil
	case a.language == SQL || b.language == SQL:
	case b.sure <= doubt && a.sure > b.sure:
		return a.language, nil
	case a.sure <= doubt && b.sure > a.sure:
		return b.language, nil
	}
	return "", crisol.Errorf(crisol.KindInput, "affected_code looks like %s and patch.code like %s: both must be in one language", a.language, b.language)
}

// doubt is the number of marks up to which a text may as well be of another language.
const doubt = 1

// guess is a language and how many marks speak for it more than for another.
type guess struct {
	language Language
	sure     int
}

// mark is a text that is usual in a language and rare in others.
type mark struct {
	language Language
	weight   int
	form     *regexp.Regexp
}

func marks(language Language, weight int, forms ...string) []mark {
	list := make([]mark, len(forms))
	for i, form := range forms {
		list[i] = mark{language, weight, regexp.MustCompile(form)}
	}
	return list
}

var languageMarks = concat(
	marks(JavaScript, 3, `(?m)^\s*(?:export\s+)?(?:const|let|var)\s+[\w$\[{]`, `=>`, `\bfunction\b\s*\*?\s*[\w$]*\s*\(`, "`[^`]*\\$\\{", `\brequire\s*\(`,
		`[!=]==`, `(?m)^\s*import\s+[\w{*].*\bfrom\s+['"]`, `\bnew\s+[A-Z]\w*\s*\(`, `\bmodule\.exports\b`, `\b(?:async|export)\s+function\b`, `\bconsole\.log\b`,
		`(?:&&|\|\|)`, `(?m)\)\s*\{\s*$`, `(?m)^\s*\}\s*(?:else|catch|finally)\b`),
	marks(JavaScript, 1, `;\s*(?:\n|$)`, `(?m)^\s*//`, `\.query\s*\(`, `\bnull\b|\bundefined\b`, `\bres\.(?:send|json|render|end)\b`, `\breq\.(?:query|body|params)\.\w`, `\bawait\b`, `\bfs\.\w+\(`, `\bpath\.(?:resolve|normalize)\(`),
	marks(Python, 3, `(?m)^\s*(?:async\s+)?def\s+\w+\s*\(.*`, `(?m)^\s*(?:if|for|while|with|elif|else|try|except|finally|class)\b[^{};]*:\s*(?:#.*)?$`,
		`(?m)^\s*from\s+[\w.]+\s+import\b`, `(?m)^\s*import\s+[\w.]+(?:\s+as\s+\w+)?(?:\s*,\s*[\w.]+)*\s*$`, `\b[rb]?f(?:"|')`, `\b(?:None|True|False)\b`, `(?:"|')\s*%\s*[\w(]`,
		`\.format\s*\(`, `\bself\.`, `\bos\.path\.`, `(?m)^\s*@\w[\w.]*\(`, `\bwith\s+open\(`, `\bnot\s+in\b|\bis\s+not\b`, `\bpathlib\b|\bPath\(`),
	marks(Python, 1, `(?m)^\s*#`, `\.execute\s*\(`, `\bcursor\b`, `(?m)^\s*\w+\s*=\s*[^=;]*[^;{]$`, `\bopen\(`, `\brequest\.(?:args|form)\b`),
)

func concat(lists ...[]mark) []mark {
	var all []mark
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// foreign are marks of languages and texts that can't be tried.
var foreign = []struct {
	name string
	form *regexp.Regexp
}{
	{"a diff; send it as patch_diff, with the scenario that it is about", regexp.MustCompile(`(?m)^(?:diff --git |--- [^\n]+\n\+\+\+ |@@ -\d)`)},
	{"PHP", regexp.MustCompile(`<\?php|(?m)^\s*\$\w+\s*=|\$_(?:GET|POST|REQUEST|COOKIE|FILES)\b|\$\w+->`)},
	{"Java", regexp.MustCompile(`\bpublic\s+(?:static\s+)?(?:class|void|String|int|boolean)\b|\bSystem\.out\b|(?m)^\s*(?:String|PreparedStatement|Statement|ResultSet|File|Path)\s+\w+\s*=`)},
	{"Go", regexp.MustCompile(`(?m)^\s*(?:package\s+\w+\s*$|func\s+(?:\([^)]*\)\s*)?\w+\s*\()|\w\s*:=\s`)},
	{"C#", regexp.MustCompile(`(?m)^\s*using\s+System\b|\bnew\s+SqlCommand\b`)},
	{"Ruby", regexp.MustCompile(`(?m)^\s*def\s+\w+[^:]*$(?s:.*)^\s*end\s*$|\bparams\[:`)},
	{"C or C++", regexp.MustCompile(`(?m)^\s*#include\s*[<"]`)},
	{"TypeScript; send it without the types", regexp.MustCompile(`(?m)^\s*(?:export\s+)?(?:interface|enum)\s+\w+\s*\{|\)\s*:\s*(?:Promise<|string\b|number\b|void\b|any\b)|[(,]\s*\w+\??\s*:\s*(?:string|number|boolean|any|Request|Response)\b`)},
}

var (
	statement = regexp.MustCompile(`(?is)^(?:\s|--[^\n]*\n|/\*.*?\*/)*\(?\s*(?:SELECT\b.+|INSERT\s+INTO\b|REPLACE\s+INTO\b|UPDATE\s+\S+\s+SET\b|DELETE\s+FROM\b|WITH\s+\w+\s*(?:\([^)]*\)\s*)?AS\b)`)
	codeLike  = regexp.MustCompile(`[\w\])]\s*\(|=|\breturn\b`)
)

// detect decides what a text is written in, by its marks. The error says what it looks like instead.
func detect(text string) (guess, error) {
	if strings.TrimSpace(text) == "" {
		return guess{}, crisol.Errorf(crisol.KindInput, "is empty")
	}
	if statement.MatchString(text) {
		return guess{SQL, 3}, nil
	}
	score := map[Language]int{}
	for _, m := range languageMarks {
		if m.form.MatchString(text) {
			score[m.language] += m.weight
		}
	}
	for _, f := range foreign {
		// A mark of a foreign language may stand by chance in a long text of one that is known.
		if f.form.MatchString(text) && (score[JavaScript] < 9 && score[Python] < 9 || strings.Contains(f.name, ";")) {
			return guess{}, crisol.Errorf(crisol.KindInput, "looks like %s: only JavaScript, Python and SQL text can be tried", f.name)
		}
	}
	js, py := score[JavaScript], score[Python]
	switch {
	case !codeLike.MatchString(text):
		return guess{}, crisol.Errorf(crisol.KindInput, "doesn't look like code: only JavaScript, Python and SQL text can be tried")
	case py > js:
		return guess{Python, py - js}, nil
	default:
		return guess{JavaScript, js - py}, nil
	}
}
