package oracle

import (
	"fmt"
	"regexp"
	"strings"

	"crisol/internal/scenario"
)

// report is the first line of a sanitizer's report; frame is one line of its stack.
// https://clang.llvm.org/docs/AddressSanitizer.html
var (
	report = regexp.MustCompile(`(?m)^.*(?:ERROR: |WARNING: |SUMMARY: |runtime error: )?(AddressSanitizer|MemorySanitizer|ThreadSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer): (?:attempting )?([A-Za-z-]+)|runtime error: (.+)$`)
	frame  = regexp.MustCompile(`^\s*#(\d+) 0x[0-9a-f]+ (?:in )?(\S+)`)
)

// topFrames is how deep in the first stack the wanted functions are looked for.
const topFrames = 12

func (j *judge) crash(want *scenario.Crash) (Finding, error) {
	kind, frames := sanitizer(j.obs.Stderr)
	switch {
	case want.Sanitizer != "" && kind != want.Sanitizer:
		return Finding{false, fmt.Sprintf("no sanitizer report of %s (%s)", want.Sanitizer, j.ending(kind))}, nil
	case want.Signal != "" && j.obs.Signal != want.Signal:
		return Finding{false, fmt.Sprintf("not ended by %s (%s)", want.Signal, j.ending(kind))}, nil
	case kind == "" && j.crashSignal() == "":
		return Finding{false, "no crash: " + j.ending(kind)}, nil
	}
	if missing := inOrder(want.Frames, frames); missing != "" {
		return Finding{false, fmt.Sprintf("%s, but %s isn't among the top frames (%s)", j.ending(kind), missing, strings.Join(frames, ", "))}, nil
	}
	words := j.ending(kind)
	if len(frames) > 0 {
		words += " in " + strings.Join(frames[:min(3, len(frames))], ", ")
	}
	return Finding{true, words}, nil
}

// crashSignal is the signal that a fault raises; a kill from outside is no crash.
func (j *judge) crashSignal() string {
	switch j.obs.Signal {
	case "SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS":
		if j.obs.Stopped == "" {
			return j.obs.Signal
		}
	}
	return ""
}

func (j *judge) ending(kind string) string {
	switch {
	case kind != "":
		return "sanitizer report: " + kind
	case j.obs.Signal != "":
		return "ended by " + j.obs.Signal
	default:
		return fmt.Sprintf("exit %d", j.obs.Exit)
	}
}

// sanitizer reads the first report in a program's standard error: its kind and the functions of its first stack.
func sanitizer(stderr string) (kind string, frames []string) {
	lines := strings.Split(stderr, "\n")
	for i, line := range lines {
		m := report.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		kind = m[2]
		if kind == "" {
			kind = strings.TrimSpace(m[3])
		}
		return kind, stack(lines[i+1:])
	}
	return "", nil
}

func stack(lines []string) (frames []string) {
	for _, line := range lines {
		m := frame.FindStringSubmatch(line)
		switch {
		case m == nil && len(frames) > 0:
			return frames
		case m == nil:
			continue
		case m[1] == "0" && len(frames) > 0:
			return frames
		}
		if frames = append(frames, m[2]); len(frames) == topFrames {
			return frames
		}
	}
	return frames
}

// inOrder returns the first of want that doesn't follow its predecessor in got, or "".
func inOrder(want, got []string) string {
	i := 0
	for _, name := range want {
		for i < len(got) && got[i] != name {
			i++
		}
		if i == len(got) {
			return name
		}
		i++
	}
	return ""
}
