package ambiguity

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"
)

// slowExpressions is read alike by JavaScript and Python. Each has a family, and engines must agree.
var slowExpressions = []string{
	`^(a+)+$`,
	`^(a*)*$`,
	`^(a|a)*b$`,
	`^(\w+\s?)*$`,
	`^(.*,)+(.+)?$`,
	`^((?:\d+)?\.?\d+) *(ms|s)?$`,
	`^\s+|\s+$`,
	`[^,]*,`,
	`^([+-]?\d*n)?\s*(?:([+-]?)\s*(\d+))?$`,
	`^(.)(.*?)\t(.*?)\t(.*?)\t(.*?)\r\n$`,
	`\x1b\[(\d+)*m`,
	`(?:<!--[\S\s]*?-->|<(?:"[^"]*"['"]*|'[^']*'['"]*|[^'">])+>)`,
	`^~~(?=\S)((?:\\[\s\S]|~(?!~)|[^\s~]|\s(?!~~))+?)~~`,
	`(['"]).*?\1;`,
}

// trial is one expression with a small and a large text of its family.
type trial struct {
	Pattern string   `json:"pattern"`
	Texts   []string `json:"texts"`
}

// The programs print the least CPU time, in microseconds, that each text took.
const (
	nodeProgram = `
const trials = JSON.parse(require('fs').readFileSync(0, 'utf8'))
const cost = (re, text) => {
  const before = process.cpuUsage()
  re.test(text)
  const used = process.cpuUsage(before)
  return used.user + used.system
}
console.log(JSON.stringify(trials.map(t => {
  const re = new RegExp(t.pattern)
  return t.texts.map(text => Math.min(...[1, 2, 3, 4, 5].map(() => cost(re, text))))
})))`
	pythonProgram = `
import json, re, sys, time
def cost(expression, text):
    before = time.process_time()
    expression.search(text)
    return (time.process_time() - before) * 1e6
print(json.dumps([[min(cost(re.compile(t["pattern"]), text) for _ in range(3)) for text in t["texts"]]
    for t in json.load(sys.stdin)]))`
)

// reach finds how many pumps make the package's matcher take so many steps.
func reach(t *testing.T, p *program, f Family, steps int) string {
	t.Helper()
	for times := 1; times < 1<<20; times += max(1, times/4) {
		if _, _, over := p.run([]rune(f.repeated(times)), steps); over {
			return f.repeated(times)
		}
	}
	t.Fatalf("%v never takes %d steps", f, steps)
	return ""
}

// TestEnginesAgree holds the matcher's word against real engines: where it takes twenty times the steps, they must take
// far more time than a text that is so much longer explains.
func TestEnginesAgree(t *testing.T) {
	var trials []trial
	for _, pattern := range slowExpressions {
		r := find(t, pattern, "P") // whose texts hold in JavaScript, too
		if len(r.Families) == 0 {
			t.Fatalf("/%s/: no family", pattern)
		}
		e, err := Parse(pattern, "P")
		if err != nil {
			t.Fatal(err)
		}
		p := compile(e)
		trials = append(trials, trial{pattern, []string{reach(t, p, r.Families[0], 30_000), reach(t, p, r.Families[0], 600_000)}})
	}
	input, err := json.Marshal(trials)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"node", "-e", nodeProgram}, {"python3", "-c", pythonProgram}} {
		t.Run(command[0], func(t *testing.T) {
			cmd := exec.Command(command[0], command[1:]...)
			cmd.Stdin = bytes.NewReader(input)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var costs [][2]float64
			if err := json.Unmarshal(out, &costs); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for i, c := range costs {
				longer := float64(len(trials[i].Texts[1])) / float64(len(trials[i].Texts[0]))
				t.Logf("/%s/: %.0f and %.0f µs, %.1f times for a text %.1f times as long", trials[i].Pattern, c[0], c[1], c[1]/c[0], longer)
				if c[1] < 1.4*longer*c[0] {
					t.Errorf("/%s/: %.0f and %.0f µs for a text %.1f times as long", trials[i].Pattern, c[0], c[1], longer)
				}
			}
		})
	}
}
