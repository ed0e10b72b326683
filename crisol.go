// Package crisol holds the nouns of the project: what is asked (a patch for a vulnerability), what was seen
// (gates, each with its evidence) and what follows (a verdict with an assurance level).
//
// It imports the standard library only, so that every room and the public client can share it. It refuses to know
// how anything is run, stored or shown.
package crisol

import (
	"strings"
	"time"
)

// Verdict answers "does the patch fix the vulnerability, and did it break anything?".
type Verdict string

// The four verdicts. Only Fixed means that a patch may ship.
const (
	// Fixed: the exploit works on the vulnerable target, is blocked on the patched one although it reached it, and
	// nothing that worked before is broken.
	Fixed Verdict = "fixed"
	// NotFixed: an exploit or a variant still succeeds on the patched target.
	NotFixed Verdict = "not_fixed"
	// Broken: the exploits are blocked, but a benign input, a test or the build that worked before no longer does.
	Broken Verdict = "broken"
	// Inconclusive: it could not be told. Never to be read as Fixed.
	Inconclusive Verdict = "inconclusive"
)

// Outcome is what became of one gate or one check. Only Passed counts in a patch's favour.
type Outcome string

// The outcomes of a gate.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped" // not asked, nothing to run, or already decided
	Errored Outcome = "error"   // it could not be told: infrastructure, or a target that never came up
)

// GateName names one gate of a trial.
type GateName string

// The gates, in the order in which a trial walks through them.
const (
	GateSelfTest          GateName = "self_test"
	GatePrepare           GateName = "prepare"
	GateExploitVulnerable GateName = "exploit_vulnerable"
	GatePatchApplies      GateName = "patch_applies"
	GateBuild             GateName = "build"
	GateExploitPatched    GateName = "exploit_patched"
	GateVariants          GateName = "variants"
	GateBenign            GateName = "benign"
	GateTests             GateName = "tests"
)

// Gate is one check of a verdict with what stands behind it.
type Gate struct {
	Name    GateName `json:"gate"`
	Outcome Outcome  `json:"outcome"`
	// Runs counts the sandboxed processes that the outcome rests on.
	Runs int `json:"runs"`
	// Evidence says in one sentence why the outcome is what it is.
	Evidence string `json:"evidence"`
	// Checks holds every input that the gate ran, in the order of the manifest.
	Checks []Check `json:"checks,omitempty"`
}

// Side says which of the two trees a check ran on.
type Side string

// The two sides of a trial.
const (
	Vulnerable Side = "vulnerable"
	Patched    Side = "patched"
)

// Check is one exploit, benign input, test or build step on one side.
type Check struct {
	ID      string  `json:"id"`
	Side    Side    `json:"side"`
	Outcome Outcome `json:"outcome"`
	// Oracle says in the oracle's own words what it saw.
	Oracle string `json:"oracle,omitempty"`
	// Reached is whether the exploit was seen to reach the code it attacks; nil where nothing could tell.
	Reached *bool `json:"reached,omitempty"`
	// Cached is set when the outcome was taken from an earlier trial of the same scenario and target.
	Cached *time.Time `json:"cached,omitempty"`
	Runs   []Run      `json:"runs,omitempty"`
}

// Run is one process in the sandbox.
type Run struct {
	Command     []string `json:"command"`
	Exit        int      `json:"exit"`
	Signal      string   `json:"signal,omitempty"`
	WallSeconds float64  `json:"wall_seconds"`
	CPUSeconds  float64  `json:"cpu_seconds"`
	TimedOut    bool     `json:"timed_out,omitempty"`
	// Stdout and Stderr keep the head and the tail of long output, with a line between that counts what was left out.
	Stdout string `json:"stdout,omitempty"`
	Stderr string `json:"stderr,omitempty"`
	// Sandbox names the runtime; Unenforced lists the limits that it could not enforce on this machine.
	Sandbox    string   `json:"sandbox,omitempty"`
	Unenforced []string `json:"unenforced,omitempty"`
	Note       string   `json:"note,omitempty"`
}

// Assurance says how much stands behind a Fixed verdict. The zero value stands for none.
type Assurance int

// The levels, each including the one before.
const (
	A0 Assurance = iota // nothing shown
	A1                  // the exploit is blocked, and reached the target
	A2                  // + benign inputs healthy
	A3                  // + the target's tests
	A4                  // + all variants blocked, repeats at the asked residual risk, and the scenario's self-test holds
)

// String renders "A1" to "A4", and "" for none.
func (a Assurance) String() string {
	if a < A1 || a > A4 {
		return ""
	}
	return "A" + string(rune('0'+int(a)))
}

// MarshalText renders the level as String does.
func (a Assurance) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads "A1" to "A4" in either case; empty is A0.
func (a *Assurance) UnmarshalText(b []byte) error {
	level, err := ParseAssurance(string(b))
	if err != nil {
		return err
	}
	*a = level
	return nil
}

// ParseAssurance reads "A1" to "A4" in either case; empty is A0.
func ParseAssurance(s string) (Assurance, error) {
	switch strings.ToUpper(s) {
	case "":
		return A0, nil
	case "A1":
		return A1, nil
	case "A2":
		return A2, nil
	case "A3":
		return A3, nil
	case "A4":
		return A4, nil
	}
	return A0, Errorf(KindInput, "assurance %q: want one of A1, A2, A3, A4", s)
}

// Vulnerability is what a request says of the weakness (the APV's substance).
type Vulnerability struct {
	Type         string `json:"type,omitempty"`
	Severity     string `json:"severity,omitempty"`
	AffectedCode string `json:"affected_code,omitempty"`
}

// CodePatch is the short form of a patch: code that replaces the affected code.
type CodePatch struct {
	Type string `json:"type,omitempty"`
	Code string `json:"code,omitempty"`
}

// Request asks for one validation: either a full diff (PatchDiff) or the short form with code on both sides.
type Request struct {
	APVID               string         `json:"apv_id"`
	CVEID               string         `json:"cve_id,omitempty"`
	PatchID             string         `json:"patch_id,omitempty"`
	PatchDiff           string         `json:"patch_diff,omitempty"`
	Vulnerability       *Vulnerability `json:"vulnerability,omitempty"`
	Patch               *CodePatch     `json:"patch,omitempty"`
	ConfidenceThreshold float64        `json:"confidence_threshold,omitempty"`
	ScenarioID          string         `json:"scenario_id,omitempty"`
	Wait                string         `json:"wait,omitempty"`
	MinAssurance        Assurance      `json:"min_assurance,omitempty"`
}

// Method says what decided a validation.
type Method string

// The methods of contract.md.
const (
	MethodStatic    Method = "static"
	MethodML        Method = "ml"
	MethodWargaming Method = "wargaming"
	MethodFallback  Method = "wargaming_fallback"
)

// Validation is the answer to a Request.
type Validation struct {
	ID         string `json:"validation_id"`
	APVID      string `json:"apv_id"`
	CVEID      string `json:"cve_id,omitempty"`
	PatchID    string `json:"patch_id,omitempty"`
	ScenarioID string `json:"scenario_id,omitempty"`

	Verdict Verdict `json:"verdict"`
	// PatchValidated is true only for Fixed, and only when the asked assurance was reached.
	PatchValidated bool      `json:"patch_validated"`
	Method         Method    `json:"validation_method"`
	Cached         bool      `json:"cached"`
	Assurance      Assurance `json:"assurance"`
	// Confidence is 1 - ResidualRisk for a wargame's decision, the calibrated probability for a model's.
	Confidence float64 `json:"confidence"`
	// ResidualRisk bounds the chance that an exploit which still works was missed by the repeats.
	ResidualRisk         float64 `json:"residual_risk"`
	ExecutionTimeSeconds float64 `json:"execution_time_seconds"`
	Reason               string  `json:"reason"`
	// Certified says of a model's decision whether it stands under a certificate; nil for other methods.
	Certified *bool `json:"certified,omitempty"`
	// PolicyReason says in a word why a model did not decide, where one was asked.
	PolicyReason string `json:"policy_reason,omitempty"`

	Prediction *MLPrediction  `json:"ml_prediction,omitempty"`
	Wargame    *WargameResult `json:"wargaming_result,omitempty"`

	ScenarioDigest string    `json:"scenario_digest,omitempty"`
	PatchDigest    string    `json:"patch_digest,omitempty"`
	CreatedAt      time.Time `json:"created_at,omitzero"`
}

// MLPrediction is what a model says of a patch, without a trial.
type MLPrediction struct {
	// Valid is whether Fixed is the likelier verdict.
	Valid bool `json:"valid"`
	// Probability of Fixed, calibrated, from 0 to 1.
	Probability  float64 `json:"probability"`
	ModelVersion string  `json:"model_version"`
	// Explanation holds the features that moved the prediction most, the strongest first.
	Explanation []Contribution `json:"explanation,omitempty"`
}

// Contribution is what one feature adds to a prediction, in the model's own output space: its Shapley value.
type Contribution struct {
	Feature      string  `json:"feature"`
	Value        float64 `json:"value"`
	Contribution float64 `json:"contribution"`
}

// WargameStatus summarises a wargame for callers that don't read gates.
type WargameStatus string

// The statuses of contract.md.
const (
	WargameSuccess WargameStatus = "success" // the patch passed
	WargameFailed  WargameStatus = "failed"  // the patch was refused
	WargameError   WargameStatus = "error"   // it could not be told
	WargameTimeout WargameStatus = "timeout" // a deadline ran out before it could be told
)

// WargameResult is a wargame's evidence.
type WargameResult struct {
	Status WargameStatus `json:"status"`
	// Phase1Passed: the exploit succeeded on the vulnerable target.
	Phase1Passed bool `json:"phase_1_passed"`
	// Phase2Passed: the exploit was blocked on the patched target.
	Phase2Passed bool   `json:"phase_2_passed"`
	Gates        []Gate `json:"gates"`
	// Infrastructure says what kept the trial from telling although neither the target nor the patch is to blame; such
	// a trial may be told when it is tried again.
	Infrastructure string `json:"infrastructure_error,omitempty"`
}
