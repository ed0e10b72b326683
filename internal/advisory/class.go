package advisory

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	cvss20 "github.com/pandatix/go-cvss/20"
	cvss30 "github.com/pandatix/go-cvss/30"
	cvss31 "github.com/pandatix/go-cvss/31"
	cvss40 "github.com/pandatix/go-cvss/40"
)

// classes map weaknesses to the classes of scenarios. CWE-400 and CWE-20 say too little to be here.
var classes = map[string]string{
	"CWE-1321": "prototype_pollution", "CWE-915": "prototype_pollution",
	"CWE-1333": "redos", "CWE-185": "redos",
	"CWE-77": "command_injection", "CWE-78": "command_injection", "CWE-88": "command_injection",
	"CWE-94": "code_injection", "CWE-95": "code_injection", "CWE-96": "code_injection", "CWE-917": "code_injection", "CWE-1336": "code_injection",
	"CWE-22": "path_traversal", "CWE-23": "path_traversal", "CWE-24": "path_traversal", "CWE-29": "path_traversal", "CWE-35": "path_traversal",
	"CWE-36": "path_traversal", "CWE-59": "path_traversal", "CWE-73": "path_traversal",
	"CWE-89": "sql_injection", "CWE-564": "sql_injection", "CWE-943": "sql_injection",
	"CWE-79": "xss", "CWE-80": "xss", "CWE-83": "xss", "CWE-87": "xss",
	"CWE-918": "ssrf", "CWE-352": "csrf", "CWE-434": "unrestricted_upload",
	"CWE-611": "xxe", "CWE-776": "xxe", "CWE-827": "xxe",
	"CWE-119": "memory_corruption", "CWE-120": "memory_corruption", "CWE-121": "memory_corruption", "CWE-122": "memory_corruption",
	"CWE-125": "memory_corruption", "CWE-787": "memory_corruption", "CWE-415": "memory_corruption", "CWE-416": "memory_corruption",
	"CWE-502": "deserialization", "CWE-601": "open_redirect",
}

// words tell a class where no weakness does. The first that is found counts.
var words = []struct {
	class string
	form  *regexp.Regexp
}{
	{"prototype_pollution", regexp.MustCompile(`(?i)prototype pollution`)},
	{"redos", regexp.MustCompile(`(?i)\bredos\b|regular expression denial|inefficient regular expression|catastrophic backtracking`)},
	{"xxe", regexp.MustCompile(`(?i)\bxxe\b|xml external entit`)},
	{"ssrf", regexp.MustCompile(`(?i)\bssrf\b|server[- ]side request forgery`)},
	{"csrf", regexp.MustCompile(`(?i)\bcsrf\b|cross[- ]site request forgery`)},
	{"xss", regexp.MustCompile(`(?i)\bxss\b|cross[- ]site scripting`)},
	{"sql_injection", regexp.MustCompile(`(?i)sql injection`)},
	{"open_redirect", regexp.MustCompile(`(?i)open redirect`)},
	{"path_traversal", regexp.MustCompile(`(?i)(path|directory) traversal|zip slip|arbitrary file (write|creation|overwrite|read)`)},
	{"command_injection", regexp.MustCompile(`(?i)command injection|shell injection|command execution`)},
	{"deserialization", regexp.MustCompile(`(?i)deseriali[sz]ation|unpickl|unsafe (yaml|pickle|load)`)},
	{"code_injection", regexp.MustCompile(`(?i)code injection|(code|script) execution|sandbox escape|template injection`)},
	{"unrestricted_upload", regexp.MustCompile(`(?i)unrestricted (file )?upload`)},
	{"memory_corruption", regexp.MustCompile(`(?i)buffer overflow|use[- ]after[- ]free|out[- ]of[- ]bounds|memory corruption`)},
}

// class guesses the class of the weakness. A weakness that is named says more than a text.
func (r *Record) class() string {
	if slices.Contains(r.Specific.CWE, "CWE-1333") {
		return "redos" // beside a general one, such as CWE-185 or CWE-400
	}
	for _, cwe := range r.Specific.CWE {
		if class := classes[cwe]; class != "" {
			return class
		}
	}
	for _, text := range []string{r.Summary, r.Details} {
		for _, w := range words {
			if w.form.MatchString(text) {
				return w.class
			}
		}
	}
	return "other"
}

// severity is the database's own word, else what the CVSS vector comes to; "" is unknown.
func (r *Record) severity(of []Affected) string {
	switch word := strings.ToLower(r.Specific.Severity); word {
	case "moderate":
		return "medium"
	case "low", "medium", "high", "critical":
		return word
	}
	scores := slices.Clone(r.Severity)
	for _, a := range of {
		scores = append(scores, a.Severity...)
	}
	for _, s := range scores {
		if word := rating(s.Score); word != "" {
			return word
		}
	}
	return ""
}

// rating is the qualitative rating of a CVSS vector.
func rating(vector string) string {
	switch {
	case strings.HasPrefix(vector, "CVSS:4.0/"):
		if v, err := cvss40.ParseVector(vector); err == nil {
			return rate(v.Score())
		}
	case strings.HasPrefix(vector, "CVSS:3.1/"):
		if v, err := cvss31.ParseVector(vector); err == nil {
			return rate(v.BaseScore())
		}
	case strings.HasPrefix(vector, "CVSS:3.0/"):
		if v, err := cvss30.ParseVector(vector); err == nil {
			return rate(v.BaseScore())
		}
	default:
		if v, err := cvss20.ParseVector(vector); err == nil {
			return rate(v.BaseScore())
		}
	}
	return ""
}

// rate is the scale of CVSS 3 and 4 (https://www.first.org/cvss/v4.0/specification-document, table 22).
func rate(score float64) string {
	switch {
	case score >= 9:
		return "critical"
	case score >= 7:
		return "high"
	case score >= 4:
		return "medium"
	case score > 0:
		return "low"
	}
	return ""
}

// maxTitle is how long a title may be before it is cut at a word.
const maxTitle = 120

// title is the summary, else the beginning of the details, in one line.
func (r *Record) title() string {
	text := r.Summary
	if strings.TrimSpace(text) == "" {
		text, _, _ = strings.Cut(strings.TrimSpace(r.Details), "\n")
		if sentence, _, more := strings.Cut(text, ". "); more {
			text = sentence
		}
	}
	text = strings.Join(strings.FieldsFunc(text, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsGraphic(c) || c == unicode.ReplacementChar }), " ")
	text = strings.TrimRight(strings.TrimLeft(text, "# "), ". ")
	if letters := []rune(text); len(letters) > maxTitle {
		text = string(letters[:maxTitle])
		text = text[:max(strings.LastIndex(text, " "), 1)] + "..."
	}
	if text == "" {
		return r.ID
	}
	return text
}
