// Package baseline computes what models have to beat: nine features that regular expressions read off a diff, the usual
// first attempt at telling a fix from something else. In goes a patch and the first CWE of the vulnerability; out come
// nine numbers. Nothing decides by them.
package baseline

import (
	"regexp"
	"strconv"
	"strings"

	"crisol/internal/diff"
)

// Names are those of the features, in the order of Nine.
var Names = []string{
	"lines_added", "lines_removed", "files", "complexity_delta",
	"has_validation", "has_sanitisation", "has_encoding", "has_parameterisation", "cwe",
}

var (
	branch           = regexp.MustCompile(`\b(if|else|for|while|case|catch|except|switch|match)\b|&&|\|\||\?`)
	validation       = regexp.MustCompile(`(?i)valid|check|verify|assert|typeof|instanceof|\bif\b.*(throw|return|raise)|test\(|match\(|indexOf|includes|hasOwnProperty`)
	sanitisation     = regexp.MustCompile(`(?i)saniti|clean|strip|replace\(|filter|normali|resolve\(`)
	encoding         = regexp.MustCompile(`(?i)escape|encode|quote|htmlspecialchars|&lt;|&amp;`)
	parameterisation = regexp.MustCompile(`(?i)prepare|param|bind|placeholder|execFile|spawn|\?\s*,|\$[0-9]|%s`)
)

// Nine returns the nine features of a patch. cwe is the vulnerability's first, such as "CWE-79"; its number is the last
// feature, 0 where there is none.
func Nine(p *diff.Patch, cwe string) []float64 {
	v := make([]float64, len(Names))
	v[2] = float64(len(p.Files))
	for _, file := range p.Files {
		for _, hunk := range file.Hunks {
			for _, line := range hunk.Lines {
				count(v, line)
			}
		}
	}
	if n, err := strconv.Atoi(strings.TrimPrefix(strings.ToUpper(cwe), "CWE-")); err == nil {
		v[8] = float64(n)
	}
	return v
}

func count(v []float64, line diff.Line) {
	branches := float64(len(branch.FindAllStringIndex(line.Text, -1)))
	switch line.Op {
	case '-':
		v[1]++
		v[3] -= branches
	case '+':
		v[0]++
		v[3] += branches
		for i, has := range []*regexp.Regexp{validation, sanitisation, encoding, parameterisation} {
			if has.MatchString(line.Text) {
				v[4+i] = 1
			}
		}
	}
}
