package features

import (
	"math"
	"strings"
)

// query holds the words of a vulnerability's text with their weights.
type query map[string]float64

// stop are words of advisories that any code may hold.
var stop = set("a an the of in to and or is are was be by for with on at as it its this that from via into not no can could may might when which before after prior all any if than then using used use " +
	"allow allows allowed attacker attackers remote vulnerability vulnerable version versions issue affected package library module code function functions method file files user users input value values " +
	"data string object property properties name key type error set get add new has have does do npm node js javascript python java php cve cwe ghsa due lead leads through would other only also such")

// newQuery reads a text. A word that is written as code is (fooBar, foo_bar, foo.bar, `foo`, foo()) weighs 2, any other
// 0.5, and a stop word or the package's name nothing.
func newQuery(text, pkg string) query {
	q := query{}
	if len(text) > 16<<10 {
		text = text[:16<<10]
	}
	for field := range strings.FieldsSeq(text) {
		quoted := strings.Contains(field, "`") || strings.Contains(field, "()")
		trimmed := strings.Trim(field, "`'\".,;:()[]{}<>*!?")
		if trimmed == "" || strings.Contains(trimmed, "://") {
			continue
		}
		code := quoted || strings.ContainsAny(trimmed, "_./$") || hasHump(trimmed)
		lowered := strings.ToLower(trimmed)
		if code {
			q.add(lowered, 2)
			q.add(lastSegment(lowered), 2)
			if dot := strings.LastIndexByte(lowered, '.'); dot >= 0 {
				q.add(lowered[dot+1:], 2)
			}
		}
		for part := range parts([]byte(trimmed)) {
			if !stop[part] && len(part) > 2 {
				q.add(part, 0.5)
			}
		}
	}
	delete(q, "")
	for part := range parts([]byte(pkg)) {
		delete(q, part)
	}
	delete(q, strings.ToLower(pkg))
	return q
}

func (q query) add(word string, weight float64) { q[word] = max(q[word], weight) }

// hasHump says whether a word has a capital inside.
func hasHump(word string) bool {
	for i := 1; i < len(word); i++ {
		if 'A' <= word[i] && word[i] <= 'Z' && 'a' <= word[i-1] && word[i-1] <= 'z' {
			return true
		}
	}
	return false
}

func lastSegment(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// names says whether the text has a name as code.
func (q query) names(name string) bool {
	return len(name) > 2 && q[strings.ToLower(name)] >= 2
}

// namesFile says whether the text has a path, or its last part.
func (q query) namesFile(path string) bool {
	lowered := strings.ToLower(path)
	return q[lowered] >= 2 || len(lastSegment(lowered)) > 4 && q[lastSegment(lowered)] >= 2
}

// occurs counts the words of a name.
func (q query) occurs(terms map[string]int, name []byte) {
	if lowered := string(lower(name)); q[lowered] >= 2 {
		terms[lowered]++
	}
	for part := range parts(name) {
		if q[part] > 0 {
			terms[part]++
		}
	}
}

// bm25 is Robertson's weight of terms (k1 = 1.2, no correction for length), with the word's own weight in place of the
// inverse document frequency, for which there is no collection here; scaled to the logarithm of 1 + the sum.
func (q query) bm25(terms map[string]int) float64 {
	const k1 = 1.2
	total := 0.0
	for _, word := range sorted(terms) {
		n := float64(terms[word])
		total += q[word] * n * (k1 + 1) / (n + k1)
	}
	return math.Log1p(total)
}
