// Package referee runs inside the sandbox, as the first process of a run that needs more than one: it starts the
// service and waits until it is up, listens for callbacks, runs the input, sends the oracle's own requests, and reports.
//
// In comes a Plan on standard input, out goes a Report on standard output, marked with the plan's secret. It judges
// nothing. The programs that it starts never see the plan, its standard streams or its memory.
package referee

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"crisol/internal/oracle"
)

// Plan is what is to happen in one sandbox.
type Plan struct {
	// Secret marks the report, so that nothing else that prints can forge one.
	Secret string `json:"secret"`
	// Service, when set, is up before anything else happens.
	Service *Service `json:"service,omitempty"`
	// Callback is the loopback address to listen on while Main runs, or "".
	Callback string    `json:"callback,omitempty"`
	Main     Program   `json:"main"`
	Requests []Request `json:"requests,omitempty"`
	// OutputLimit bounds what is kept of each stream, in bytes.
	OutputLimit int `json:"output_limit"`
}

// Program is one process.
type Program struct {
	Args  []string `json:"args"`
	Dir   string   `json:"dir"`
	Env   []string `json:"env"` // added to the referee's own environment
	Stdin string   `json:"stdin"`
}

// Service is a program that has to accept connections on TCP within a time.
type Service struct {
	Program
	TCP    string        `json:"tcp"`
	Within time.Duration `json:"within"`
}

// Request is one request of an HTTP oracle, sent after Main has ended.
type Request struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// Report is what happened.
type Report struct {
	// Up is false when the service ended or was not ready in time; nothing else was run then.
	Up bool `json:"up"`
	// Main is how the input ended; nil when it was not run.
	Main    *Ending         `json:"main,omitempty"`
	Service *Ending         `json:"service,omitempty"`
	Hits    []string        `json:"hits,omitempty"`
	Answers []oracle.Answer `json:"answers,omitempty"`
	// Error says what kept the referee from its work.
	Error string `json:"error,omitempty"`
}

// Ending is how a program ended.
type Ending struct {
	Exit   int    `json:"exit"`
	Signal string `json:"signal,omitempty"`
	Stdout string `json:"stdout,omitempty"`
	Stderr string `json:"stderr,omitempty"`
}

// marker precedes the secret on the line that holds the report.
const marker = "crisol-report "

// Encode renders the report as the line that Decode looks for.
func (r Report) Encode(secret string) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode report: %w", err)
	}
	return fmt.Appendf(nil, "\n%s%s %s\n", marker, secret, body), nil
}

// Decode finds the one report that carries the secret. None, or several, is an error.
func Decode(output []byte, secret string) (Report, error) {
	prefix := []byte(marker + secret + " ")
	var found *Report
	for line := range bytes.SplitSeq(output, []byte("\n")) {
		body, ok := bytes.CutPrefix(line, prefix)
		if !ok {
			continue
		}
		if found != nil {
			return Report{}, fmt.Errorf("the referee reported twice")
		}
		found = new(Report)
		if err := json.Unmarshal(body, found); err != nil {
			return Report{}, fmt.Errorf("read the referee's report: %w", err)
		}
	}
	if found == nil {
		return Report{}, fmt.Errorf("the referee did not report; it printed %q", strings.TrimSpace(string(output[:min(len(output), 200)])))
	}
	return *found, nil
}
