// Package scenario reads what is needed to fight over one vulnerability: the manifest, the files beside it, and the
// library of them ("exploit database") that is embedded in the binary.
//
// In goes a folder with a scenario.yaml; out comes a Scenario whose every field has been checked, or errors that name
// file, line and the nearest right key. The package runs nothing.
package scenario

import (
	"encoding/json"
	"io/fs"
	"time"
)

// Schema is the only schema there is so far.
const Schema = "crisol/v1"

// Scenario is a checked manifest with the files beside it. Its exploits are the manifest's, then those that were derived
// from them and recorded beside it (variants.json).
type Scenario struct {
	Manifest
	// Files is the scenario's folder. Everything in it but the manifest, lock/ and the target's directory is laid at
	// /work in the sandbox.
	Files fs.FS
	// Path says where it came from, for people: a folder, or "library/ID".
	Path string
	// Digest identifies the manifest and every file beside it, in hex: the scenario's version.
	Digest string
	// Embedded is set for a scenario of the library.
	Embedded bool
}

// Manifest is scenario.yaml. Field names in YAML are the lower-case names given in the comments where they differ.
type Manifest struct {
	Schema        string
	ID            string
	Title         string
	Verified      time.Time // day on which the self-test was last seen green; YAML 2006-01-02
	Vulnerability Vulnerability
	Target        Target
	// Kit names the helper library laid beside the exploits: node, python, go, java, rust, or "" for none. With a kit an
	// exploit's or benign input's oracle may be left out: the kit's own protocol decides (see internal/kit).
	Kit      string
	Exploits []Exploit // the first is the proof, the others are variants
	Benign   []Input
	Tests    []Input
	Limits   Limits
}

// Vulnerability is what the advisory says.
type Vulnerability struct {
	CVE      string
	Aliases  []string
	CWE      []string
	Severity string // low, medium, high, critical
	// Type is the weakness class in snake case: prototype_pollution, redos, command_injection, code_injection,
	// path_traversal, sql_injection, xss, ssrf, csrf, unrestricted_upload, xxe, memory_corruption, deserialization,
	// open_redirect, other.
	Type       string
	Advisories []string // where the facts were read: identifiers (GHSA-..., PYSEC-...), not addresses
}

// Target is the tree under trial.
type Target struct {
	Package string   // a purl; or
	Dir     string   // a folder beside the manifest
	With    []string // further purls installed beside Package
	// Reference is the fix that must come out fixed.
	Reference Fix
	// Incomplete lists fixes that were declared, and are not: each must come out not_fixed.
	Incomplete []Fix
	// Decoy deletes the feature instead of fixing it and must come out broken; generated where the ecosystem allows
	// (npm, pypi, golang, node and python directories), else a patch.
	Decoy   *Fix
	Build   []Step // runs in $TARGET after the patch, without network
	Service *Service
}

// Fix is another state of the target. Exactly one field is set.
type Fix struct {
	Package string // a purl
	Patch   string // a diff beside the manifest
	Dir     string // a folder beside the manifest
}

// Step is one command of a build. YAML: a list (argv), or {run: [...], dir: /work}.
type Step struct {
	Run []string
	Dir string // absolute inside the sandbox; "" is $TARGET
}

// Service is a server that runs beside the inputs, in the same sandbox, started anew for each.
type Service struct {
	Run   []string // in $TARGET
	Env   []string // NAME=value
	Ready Ready
}

// Ready says when a service is up.
type Ready struct {
	TCP    string        // loopback address, "127.0.0.1:8080"
	Within time.Duration // default 10 s
}

// Input is a program run beside the target, in /work, and the oracle that judges it.
type Input struct {
	ID     string
	Title  string
	Run    []string
	Env    []string
	Oracle *Oracle // benign, tests: nil means {exit: 0} (with a kit: and the kit's word that it ran to its end)
	// Payload is a JSON value that the run finds in its order (see internal/kit), or nil: what one script hands to the
	// call under trial, so that many inputs share it.
	Payload json.RawMessage
	// Optional marks an input that counts only where it works on the vulnerable side; a manifest can't set it. Scenarios
	// that are made for a snippet try many payloads of which a few fit.
	Optional bool `yaml:"-"`
}

// Exploit is an attack. Its oracle holds when it succeeded.
type Exploit struct {
	Input `yaml:",inline"`
	// Reached, when set, must hold before "blocked" is believed. With a kit it defaults to the kit's own word.
	Reached *Oracle
	// Callback is a loopback address on which Crisol listens inside the sandbox while the exploit runs.
	Callback string
	// Derive asks for variants made from Payload; nil asks for none.
	Derive *Derive
	// Evasion is set for a derived exploit that is made for a filter: it doesn't succeed on the vulnerable side and says
	// nothing by being blocked, but a patched side on which it succeeds isn't fixed.
	Evasion bool
	// DerivedFrom is the id of the exploit that this one was derived from; "" for one of the manifest's own.
	DerivedFrom string
}

// Derive says how variants of an exploit's payload are made. YAML: a form's name, or {form: path, absolute: /work/secret}.
type Derive struct {
	Form string            // one of variant.Forms
	Hint map[string]string // what the form can't know by itself: see variant.Form
}

// Limits of each process tree.
type Limits struct {
	Timeout   time.Duration
	Memory    int64 // bytes; YAML 512MiB
	Processes int
	Disk      int64
}

// Oracle decides, from outside the process, what happened. Every field that is set must hold.
type Oracle struct {
	Exit   *int
	Stdout *Text
	Stderr *Text
	File   *File
	HTTP   *HTTP
	Slow   *Slow
	Crash  *Crash
	// Callback: the listener was hit; the value is a text that the request must contain ("" any).
	Callback *Text
	SQL      *SQL
	All      []Oracle
	Any      []Oracle
	Not      *Oracle
}

// Text matches a text. ${token} stands for the secret of this run. All fields that are set must hold.
type Text struct {
	Contains string
	Matches  string // Go regular expression
}

// File looks at a file of the view. Path is relative to /work.
type File struct {
	Path     string
	Exists   bool
	Absent   bool
	Contains string
	SHA256   string // yaml: sha256 (contract: digest)
}

// HTTP sends one request to the service after the exploit ran, and looks at the answer.
type HTTP struct {
	Method  string // default GET
	URL     string // http://127.0.0.1:8080/path, sent as written
	Headers map[string]string
	Body    string
	Status  int               // wanted; 0 any
	Header  map[string]string // wanted: name to regular expression
	Matches string            // regular expression over the body
	Lacks   string            // regular expression that the body must not match
}

// Slow runs the input hostile and harmless at each size and compares CPU time: it holds when, at the largest size, the
// hostile run needs at least Factor times the CPU time of the harmless one and the ratio has grown from the smallest
// size on, or when only the hostile run hits the CPU limit.
type Slow struct {
	Sizes  []int
	Factor float64 // default 5
}

// Crash holds when the process died of a signal or a sanitizer reported.
type Crash struct {
	Signal    string   // "SIGSEGV"; "" any crash
	Sanitizer string   // kind in the report: heap-buffer-overflow, stack-buffer-overflow, heap-use-after-free, ...
	Frames    []string // functions that must appear, in this order, among the top frames of the first stack
}

// SQL runs a query on a SQLite database file of the view after the run.
type SQL struct {
	File  string // relative to /work
	Query string // returns one value
	Equal string // the wanted value as text
}
