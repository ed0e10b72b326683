// Command features measures what the features of a patch cost: of a patch alone, with both versions of the source, and of
// input that is made to cost; and the lexer beside the same scanner written as a regular expression.
//
//	go run ./bench/features
//
// With -corpus it measures the candidates of a corpus as well. Times are the processor's, of one thread, so that a busy
// machine changes them little; medians come with their range. Quote the ratios.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"crisol/internal/corpus"
	"crisol/internal/diff"
	"crisol/internal/features"
	"crisol/internal/syntax"
)

func main() {
	b := bench{out: os.Stdout}
	flag.IntVar(&b.rounds, "rounds", 101, "rounds of each measurement")
	flag.StringVar(&b.corpus, "corpus", "", "file of candidates")
	flag.IntVar(&b.most, "most", 500, "candidates of it to measure, evenly spread")
	flag.Parse()
	runtime.LockOSThread()
	if err := b.run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/features:", err)
		os.Exit(1)
	}
}

type bench struct {
	rounds, most int
	corpus       string
	out          io.Writer
}

func (b bench) run() error {
	sample, err := madeUp()
	if err != nil {
		return err
	}
	b.compute(sample)
	b.scanners(sample)
	if err := b.hostile(); err != nil {
		return err
	}
	if b.corpus == "" {
		return nil
	}
	return b.candidates()
}

func (b bench) printf(format string, args ...any) { _, _ = fmt.Fprintf(b.out, format, args...) }

// cpu is the time that this thread has worked.
func cpu() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // Linux has that clock
	}
	return time.Duration(t.Nano())
}

// sample is a series of durations of one thing.
type sample []time.Duration

func (s sample) median() time.Duration { return slices.Sorted(slices.Values(s))[len(s)/2] }

func (s sample) String() string {
	return fmt.Sprintf("%9.1f us (%.1f to %.1f)", us(s.median()), us(slices.Min(s)), us(slices.Max(s)))
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// inTurn measures things in turn, round by round, after one round that doesn't count.
func inTurn(rounds int, things ...func()) []sample {
	took := make([]sample, len(things))
	for round := range rounds + 1 {
		for i, thing := range things {
			before := cpu()
			thing()
			if round > 0 {
				took[i] = append(took[i], cpu()-before)
			}
		}
	}
	return took
}

func (b bench) compute(in features.Input) {
	alone := in
	alone.Files = nil
	var full, part features.Report
	took := inTurn(b.rounds,
		func() { _, part = features.Compute(alone) },
		func() { _, full = features.Compute(in) },
		func() { r := features.Read(in); r.Vector(); r.NGrams() },
	)
	b.printf("features of a patch of %d bytes to a file of %d bytes (median of %d rounds, in turn)\n", size(in.Patch), len(in.Files[0].Before), b.rounds)
	b.printf("  %-44s %s\n", fmt.Sprintf("the patch alone (%d without source)", len(part.Missing)), took[0])
	b.printf("  %-44s %s\n", fmt.Sprintf("with both versions (%d without a tree)", len(full.Lexical)), took[1])
	b.printf("  %-44s %s\n\n", "the same, and n-grams", took[2])
}

// tokenExpression finds the tokens that syntax.Lex finds, near enough for a comparison of cost.
var tokenExpression = regexp.MustCompile(`//[^\n]*|/\*(?s:.*?)\*/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[A-Za-z_$][\w$]*|\d[\w.]*|===|!==|=>|&&|\|\||[=!<>+*/-]=|\+\+|--|\S`)

func (b bench) scanners(in features.Input) {
	text := changedLines(in.Patch)
	var hand, expression int
	took := inTurn(b.rounds,
		func() { hand = len(syntax.Lex(syntax.JavaScript, text)) },
		func() { expression = len(tokenExpression.FindAllIndex(text, -1)) },
	)
	b.printf("tokens of %d bytes of changed lines\n", len(text))
	b.printf("  %-44s %s\n", fmt.Sprintf("scanner (%d tokens)", hand), took[0])
	b.printf("  %-44s %s  %.0f times the scanner's\n\n", fmt.Sprintf("regular expression (%d tokens)", expression), took[1], float64(took[1].median())/float64(took[0].median()))
}

// size is how long a patch is, about: its lines with one character before each.
func size(p *diff.Patch) (n int) {
	for _, f := range p.Files {
		for _, h := range f.Hunks {
			for _, line := range h.Lines {
				n += len(line.Text) + 2
			}
		}
	}
	return n
}

func changedLines(p *diff.Patch) []byte {
	var out strings.Builder
	for _, f := range p.Files {
		for _, h := range f.Hunks {
			for _, line := range h.Lines {
				if line.Op != ' ' {
					out.WriteString(line.Text + "\n")
				}
			}
		}
	}
	return []byte(out.String())
}

// madeUp is a patch of about 3 kB that adds a guard to eight of forty functions.
func madeUp() (features.Input, error) {
	const guard = "  if (key === '__proto__' || key === 'constructor' || key === 'prototype') {\n    throw new TypeError('refused: ' + key)\n  }\n"
	var before, after []string
	for i := range 40 {
		text := fmt.Sprintf("// sets a value, number %d\nfunction set%d (target, key, value, options) {\n%s  const list = options && options.list ? options.list.slice(0, %d) : []\n"+
			"  for (let i = 0; i < list.length; i++) {\n    if (list[i].match(/^[a-z]+$/) && value !== undefined) {\n      list[i] = String(value)\n    }\n  }\n"+
			"  target[key] = list.length ? list : value\n  return target\n}\n\n", i, i, "%", i)
		old := strings.Replace(text, "%", "", 1)
		before = append(before, old)
		if i%5 == 2 {
			after = append(after, strings.Replace(text, "%", guard, 1))
		} else {
			after = append(after, old)
		}
	}
	p, err := diff.Parse([]byte(unified(before, after)), diff.Limits{})
	if err != nil {
		return features.Input{}, fmt.Errorf("the made-up patch: %w", err)
	}
	return features.Input{
		Vulnerability: features.Vulnerability{CWE: []string{"CWE-1321"}, Type: "prototype_pollution", Severity: "high", Ecosystem: "npm", Text: "Prototype pollution through the key of `set7`"},
		Patch:         p,
		Files:         []features.File{{Path: "lib/set.js", Before: []byte(strings.Join(before, ""))}},
	}, nil
}

// unified is a diff of two lists of pieces, of which only whole lines are added.
func unified(before, after []string) string {
	var out strings.Builder
	out.WriteString("--- a/lib/set.js\n+++ b/lib/set.js\n")
	old, now := 1, 1
	for i := range before {
		a, b := lines(before[i]), lines(after[i])
		if len(a) != len(b) {
			const above = 2
			added := len(b) - len(a)
			fmt.Fprintf(&out, "@@ -%d,%d +%d,%d @@\n", old, above+3, now, above+3+added)
			for n, line := range b[:above+3+added] {
				sign := " "
				if n >= above && n < above+added {
					sign = "+"
				}
				out.WriteString(sign + line + "\n")
			}
		}
		old, now = old+len(a), now+len(b)
	}
	return out.String()
}

func lines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

// hostile measures input that is made to cost.
func (b bench) hostile() error {
	b.printf("input that is made to cost (worst of %d rounds; at most 100 ms is wanted)\n", hostileRounds)
	for _, h := range []struct{ name, body string }{
		{"a patch of 1 MB", strings.Repeat("a[key] = b[key]; if (a) return f(a, 'x')\n", 25_000)},
		{"one line of 1 MB", strings.Repeat("a=b+c*d;", 120_000)},
		{"brackets", strings.Repeat("[", 500_000)},
		{"calls in calls", strings.Repeat("f(", 250_000)},
		{"blocks in blocks", strings.Repeat("if(a){", 80_000)},
		{"functions in functions", strings.Repeat("function(){", 50_000)},
		{"quotes", strings.Repeat("'\\", 250_000)},
		{"slashes", strings.Repeat("=/[\\", 120_000)},
		{"templates", strings.Repeat("`${", 150_000)},
		{"slow expressions", strings.Repeat("/(a+)+$/.test(x);/(b|b)*c/.test(y)\n", 5_000)},
		{"invalid UTF-8", strings.Repeat("\xff\xfe\x80a\n", 100_000)},
	} {
		worst := time.Duration(0)
		for _, class := range []string{"prototype_pollution", "redos", "memory_corruption"} {
			in, err := hostileInput(class, h.body)
			if err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			alone := in
			alone.Files = nil
			for _, took := range inTurn(hostileRounds, func() { features.Compute(in) }, func() { features.Compute(alone) }) {
				worst = max(worst, slices.Max(took))
			}
		}
		b.printf("  %-44s %9.1f ms\n", h.name, us(worst)/1000)
	}
	b.printf("\n")
	return nil
}

const hostileRounds = 3

// hostileInput replaces a text by itself with a change at its end; lines that are too long for a patch are cut.
func hostileInput(class, body string) (features.Input, error) {
	const longest = 500_000
	var before []string
	for line := range strings.SplitSeq(strings.TrimSuffix(body, "\n"), "\n") {
		for len(line) > longest {
			before, line = append(before, line[:longest]), line[longest:]
		}
		before = append(before, line)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "--- a/x.js\n+++ b/x.js\n@@ -1,%d +1,%d @@\n", len(before), len(before))
	for _, line := range before {
		text.WriteString("-" + line + "\n")
	}
	for _, line := range before {
		text.WriteString("+" + line + " x\n")
	}
	p, err := diff.Parse([]byte(text.String()), diff.Limits{})
	return features.Input{Vulnerability: features.Vulnerability{Type: class}, Patch: p, Files: []features.File{{Path: "x.js", Before: []byte(strings.Join(before, "\n") + "\n")}}}, err
}

// candidates measures those of a corpus.
func (b bench) candidates() error {
	file, err := os.Open(b.corpus)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	var inputs []features.Input
	for c, err := range corpus.Read(file) {
		if err != nil {
			return err
		}
		p, err := diff.Parse([]byte(c.Patch), diff.Limits{})
		if err != nil {
			continue // not every candidate is a patch that applies
		}
		in := features.Input{Vulnerability: features.Vulnerability{CWE: c.CWE, Type: c.Type, Severity: c.Severity, Ecosystem: c.Ecosystem, Package: c.Package, Text: c.Text}, Patch: p}
		for _, f := range c.Files {
			in.Files = append(in.Files, features.File{Path: f.Path, Before: []byte(f.Before)})
		}
		inputs = append(inputs, in)
	}
	step := max(len(inputs)/b.most, 1)
	var alone, full, alone3, full3 sample
	for i := 0; i < len(inputs); i += step {
		in := inputs[i]
		bare := in
		bare.Files = nil
		took := inTurn(3, func() { features.Compute(bare) }, func() { features.Compute(in) })
		alone, full = append(alone, took[0].median()), append(full, took[1].median())
		if n := size(in.Patch); n > 2000 && n < 4000 {
			alone3, full3 = append(alone3, took[0].median()), append(full3, took[1].median())
		}
	}
	b.printf("%d candidates of %s\n", len(alone), b.corpus)
	b.printf("  %-44s %s\n  %-44s %s\n", "all, the patch alone", alone, "all, with both versions", full)
	if len(alone3) > 0 {
		b.printf("  %-44s %s\n  %-44s %s\n", fmt.Sprintf("2 to 4 kB (%d), the patch alone", len(alone3)), alone3, "2 to 4 kB, with both versions", full3)
	}
	return nil
}
