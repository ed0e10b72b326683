// Package corpus makes candidate patches of every scenario and has each judged by a wargame, so that a model can learn
// what wargames say.
//
// In go scenarios, who holds trials (wargame.Arena) and who prepares targets; out comes a file of one Candidate a line.
// An operator is a way to make candidates; what it intends is no label. A candidate's label is the verdict of a trial
// with all exploits, benign inputs and tests, and nothing else. The file grows by whole lines, so that a killed build
// leaves a valid one, and a candidate that is in it is not tried again. The package knows nothing of features or models.
package corpus

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"crisol"
)

// Candidate is one line of the corpus.
type Candidate struct {
	// ID is a digest over the scenario's digest and the normalised patch's.
	ID        string   `json:"id"`
	Scenario  string   `json:"scenario"`
	CVE       string   `json:"cve,omitempty"`
	CWE       []string `json:"cwe,omitempty"`
	Type      string   `json:"type,omitempty"`
	Severity  string   `json:"severity,omitempty"`
	Ecosystem string   `json:"ecosystem"`
	Package   string   `json:"package"` // without its version; the scenario's id for a target that is a directory
	Text      string   `json:"text"`    // what the scenario says of the vulnerability in a sentence

	Operator string `json:"operator"`
	// Parent names what the candidate was made from: another operator's candidate, a version, a file.
	Parent string `json:"parent,omitempty"`
	Note   string `json:"note,omitempty"`
	// Patch is a unified diff of source files, relative to the target's own tree.
	Patch string `json:"patch"`
	// Files are the touched files as they were. A file that the patch creates is not among them.
	Files []File `json:"files,omitempty"`

	// Verdict is crisol's, or Failed where no trial could be held.
	Verdict   crisol.Verdict   `json:"verdict"`
	Assurance crisol.Assurance `json:"assurance,omitempty"`
	Reason    string           `json:"reason"`
	// ResidualRisk bounds the chance that an exploit which still works was missed by the repeats; see wargame.Report.
	ResidualRisk float64 `json:"residual_risk"`
	Gates        []Gate  `json:"gates,omitempty"`

	ScenarioDigest string    `json:"scenario_digest"`
	TargetDigest   string    `json:"target_digest"`
	PatchDigest    string    `json:"patch_digest"`
	Seconds        float64   `json:"seconds"`
	Created        time.Time `json:"created"`
	// Terms name the trial's rules and the sandbox.
	Terms string `json:"terms"`
}

// File is a source file before the patch.
type File struct {
	Path   string `json:"path"`
	Before string `json:"before"`
}

// Gate is what is kept of a gate's evidence.
type Gate struct {
	Name    crisol.GateName `json:"gate"`
	Outcome crisol.Outcome  `json:"outcome"`
	Runs    int             `json:"runs,omitempty"`
	Failed  []string        `json:"failed,omitempty"` // the checks that failed
}

// Failed stands in the place of a verdict where infrastructure kept the trial from being held. Such a candidate is tried
// again by the next build.
const Failed crisol.Verdict = "error"

// Label is 1 for a patch that came out fixed and 0 for one that came out not_fixed or broken. What could not be told has
// none.
func (c Candidate) Label() (label int, ok bool) {
	switch c.Verdict {
	case crisol.Fixed:
		return 1, true
	case crisol.NotFixed, crisol.Broken:
		return 0, true
	}
	return 0, false
}

// identify is a candidate's ID.
func identify(scenarioDigest, patchDigest string) string {
	sum := sha256.Sum256([]byte(scenarioDigest + "\n" + patchDigest))
	return hex.EncodeToString(sum[:16])
}
