// Package show renders validations, self-tests and progress for people at a terminal.
//
// In go the project's nouns, out goes text: coloured where the writer is a terminal that wants it. What programs under
// trial printed is hostile: control characters never reach the terminal.
package show

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"charm.land/lipgloss/v2"

	"crisol"
	"crisol/internal/wargame"
)

var (
	good  = lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Green)
	bad   = lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Red)
	warn  = lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Yellow)
	faint = lipgloss.NewStyle().Faint(true)
	bold  = lipgloss.NewStyle().Bold(true)
)

var verdicts = map[crisol.Verdict]struct {
	style lipgloss.Style
	words string
}{
	crisol.Fixed:        {good, "FIXED"},
	crisol.NotFixed:     {bad, "NOT FIXED"},
	crisol.Broken:       {bad, "BROKEN"},
	crisol.Inconclusive: {warn, "INCONCLUSIVE"},
}

var marks = map[crisol.Outcome]string{
	crisol.Passed: good.Render("+"), crisol.Failed: bad.Render("x"), crisol.Errored: warn.Render("!"), crisol.Skipped: faint.Render("-"),
}

// titles name the gates for people.
var titles = map[crisol.GateName]string{
	crisol.GateSelfTest:          "self-test",
	crisol.GatePrepare:           "prepare",
	crisol.GateExploitVulnerable: "exploit on vulnerable",
	crisol.GatePatchApplies:      "patch applies",
	crisol.GateBuild:             "build",
	crisol.GateExploitPatched:    "exploit on patched",
	crisol.GateVariants:          "variants",
	crisol.GateBenign:            "benign inputs",
	crisol.GateTests:             "tests",
}

const width = 100

// Validation writes a verdict and the evidence for it.
func Validation(w io.Writer, v crisol.Validation) error {
	var b strings.Builder
	head := verdicts[v.Verdict]
	fmt.Fprintf(&b, "%s  %s", head.style.Render(head.words), bold.Render(v.ScenarioID))
	if v.Assurance > crisol.A0 && v.Verdict == crisol.Fixed {
		fmt.Fprintf(&b, "  assurance %s", v.Assurance)
	}
	if v.Verdict == crisol.Fixed {
		fmt.Fprintf(&b, "  residual risk %.2g", v.ResidualRisk)
	}
	fmt.Fprintf(&b, "  %s\n", faint.Render(fmt.Sprintf("%.1f s", v.ExecutionTimeSeconds)))
	fmt.Fprintf(&b, "%s\n\n", wrap(Clean(v.Reason), "", width))
	if v.Wargame != nil {
		for _, gate := range v.Wargame.Gates {
			writeGate(&b, gate)
		}
		writeFailure(&b, v)
	}
	_, err := lipgloss.Fprint(w, b.String())
	return err
}

func writeGate(b *strings.Builder, gate crisol.Gate) {
	runs := ""
	if gate.Runs > 0 {
		runs = fmt.Sprintf("%d runs", gate.Runs)
	}
	fmt.Fprintf(b, "  %s %-22s %-8s %-8s ", marks[gate.Outcome], titles[gate.Name], gate.Outcome, runs)
	fmt.Fprintf(b, "%s\n", wrap(Clean(gate.Evidence), strings.Repeat(" ", 44), width-44))
}

// writeFailure shows the first run that speaks against the patch.
func writeFailure(b *strings.Builder, v crisol.Validation) {
	if v.Verdict == crisol.Fixed {
		return
	}
	for _, gate := range v.Wargame.Gates {
		for _, check := range gate.Checks {
			if check.Outcome != gate.Outcome || (gate.Outcome != crisol.Failed && gate.Outcome != crisol.Errored) || len(check.Runs) == 0 {
				continue
			}
			run := check.Runs[0]
			fmt.Fprintf(b, "\n  %s on the %s target: %s\n", bold.Render(check.ID), check.Side, Clean(strings.Join(run.Command, " ")))
			fmt.Fprintf(b, "    exit %d %s %s after %.2f s (CPU %.2f s)\n", run.Exit, run.Signal, run.Note, run.WallSeconds, run.CPUSeconds)
			writeOutput(b, "stdout", run.Stdout)
			writeOutput(b, "stderr", run.Stderr)
			return
		}
	}
}

const outputLines = 12

func writeOutput(b *strings.Builder, name, text string) {
	text = strings.TrimSpace(Clean(text))
	if text == "" {
		return
	}
	lines := strings.Split(text, "\n")
	if len(lines) > outputLines {
		lines = append(lines[:outputLines], fmt.Sprintf("[%d more lines; --format json shows them]", len(lines)-outputLines))
	}
	for _, line := range lines {
		fmt.Fprintf(b, "    %s %s\n", faint.Render(name), line)
	}
}

// SelfTest writes a self-test's cases; in brief, the cases of one that holds are left out.
func SelfTest(w io.Writer, r wargame.SelfTest, brief bool) error {
	var b strings.Builder
	mark := good.Render("holds")
	if !r.Holds {
		mark = bad.Render("FAILS")
	}
	fmt.Fprintf(&b, "%s  %s  %s\n", mark, bold.Render(r.Scenario), faint.Render(fmt.Sprintf("%.1f s", r.Seconds)))
	if brief && r.Holds {
		r.Cases = nil
	}
	for _, c := range r.Cases {
		outcome := crisol.Passed
		if !c.Holds {
			outcome = crisol.Failed
		}
		fmt.Fprintf(&b, "  %s %-40s %s\n", marks[outcome], Clean(c.Name), Clean(c.Got))
		if !c.Holds {
			fmt.Fprintf(&b, "      wanted %s: %s\n", c.Want, wrap(Clean(c.Reason), "      ", width-6))
			for _, gate := range c.Gates {
				if gate.Name != crisol.GateSelfTest && (gate.Outcome == crisol.Failed || gate.Outcome == crisol.Errored) {
					writeGate(&b, gate)
				}
			}
		}
	}
	_, err := lipgloss.Fprint(w, b.String())
	return err
}

// Clean replaces what could steer a terminal: control characters but newline and tab, and invalid UTF-8.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r) || r == unicode.ReplacementChar || unicode.Is(unicode.Bidi_Control, r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// wrap breaks text at blanks; lines after the first start with indent.
func wrap(text, indent string, columns int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		length := len([]rune(word))
		switch {
		case i == 0:
		case column+1+length > columns:
			b.WriteString("\n" + indent)
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += length
	}
	return b.String()
}
