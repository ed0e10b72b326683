// Package validate is the flow: from a request, or a scenario and a candidate, to a validation.
//
// It reads as a sentence: find the scenario, check what can be checked without running anything, hold the scenario to
// its self-test, fight, decide. It consumes small interfaces and knows nothing of HTTP, terminals or databases.
package validate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/diff"
	"crisol/internal/policy"
	"crisol/internal/scenario"
	"crisol/internal/snippet"
	"crisol/internal/static"
	"crisol/internal/verdict"
	"crisol/internal/wargame"
)

// Arena holds trials.
type Arena interface {
	Run(context.Context, wargame.Order) (wargame.Report, error)
	SelfTest(context.Context, *scenario.Scenario, wargame.SelfTestOptions) (wargame.SelfTest, error)
	// Prepared says whether the scenario's target is there already.
	Prepared(*scenario.Scenario) bool
	// Touched says what a candidate makes of the target's files, and refuses a patch that doesn't apply.
	Touched(context.Context, *scenario.Scenario, wargame.Candidate) ([]diff.Touched, error)
}

// Library finds scenarios.
type Library interface {
	// Find returns the scenario with the id, or nil.
	Find(id string) *scenario.Scenario
	// ByAlias returns the scenarios about a CVE or an alias of it.
	ByAlias(alias string) []*scenario.Scenario
}

// Flow validates patches.
type Flow struct {
	Arena   Arena
	Library Library
	// Predictor serves MLFirst; nil predicts nothing.
	Predictor Predictor
	// Static decides what needs neither.
	Static static.Gate
	// Rule says what the model needs in order to decide; "" is policy.Certified.
	Rule policy.Rule
	// Timeout bounds one trial; 0 is DefaultTimeout.
	Timeout time.Duration
	Now     func() time.Time
}

// DefaultTimeout bounds one trial, its preparation included.
const DefaultTimeout = 15 * time.Minute

// Order asks for one validation on this machine.
type Order struct {
	wargame.Order
	MinAssurance crisol.Assurance
	// Threshold is the confidence that the caller wants of a model; it can only make the policy more careful.
	Threshold float64
	// WatchSelfTest, when set, hears of a self-test that has to be run first.
	WatchSelfTest func(name string, done bool, c wargame.SelfTestCase)
}

// Validate fights one candidate and decides.
func (f *Flow) Validate(ctx context.Context, o Order) (crisol.Validation, error) {
	started := f.Now()
	timeout := f.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if o.Risk == 0 {
		o.Risk = certify.DefaultRisk
	}
	if o.Candidate.Patch != nil {
		// Before the self-test, which may take a while: bad input is told at once. Whatever else goes wrong here goes
		// wrong in the trial again, where it is evidence.
		if _, err := f.Arena.Touched(bounded, o.Scenario, o.Candidate); crisol.KindOf(err) == crisol.KindInput && err != nil {
			return crisol.Validation{}, err
		}
	}
	o.SelfTest = f.selfTest(bounded, o)
	if err := ctx.Err(); err != nil {
		return crisol.Validation{}, err
	}
	report, err := f.Arena.Run(bounded, o.Order)
	if err != nil {
		return crisol.Validation{}, err
	}
	v := judge(report, o)
	v.ScenarioID, v.ScenarioDigest, v.CVEID = o.Scenario.ID, o.Scenario.Digest, o.Scenario.Vulnerability.CVE
	v.CreatedAt, v.ExecutionTimeSeconds = started.UTC(), f.Now().Sub(started).Seconds()
	return v, nil
}

// selfTest holds the scenario to its own standard, or recalls that it holds. A self-test that can't be run is a gate
// with the outcome error: it never stands in the way of refuting a patch, and never lets one pass.
func (f *Flow) selfTest(ctx context.Context, o Order) crisol.Gate {
	result, err := f.Arena.SelfTest(ctx, o.Scenario, wargame.SelfTestOptions{Watch: o.WatchSelfTest})
	if err != nil {
		return crisol.Gate{Name: crisol.GateSelfTest, Outcome: crisol.Errored, Evidence: err.Error()}
	}
	return result.Gate()
}

// judge turns what a trial saw into the answer.
func judge(report wargame.Report, o Order) crisol.Validation {
	d := verdict.Decide(report.Gates, report.Risk, o.Risk)
	if d.Verdict == crisol.Fixed && d.Assurance < o.MinAssurance {
		d.Verdict = crisol.Inconclusive
		d.Reason = fmt.Sprintf("fixed at assurance %s, but %s was asked for: %s", d.Assurance, o.MinAssurance, d.Reason)
	}
	v := crisol.Validation{
		Verdict: d.Verdict, PatchValidated: d.Verdict == crisol.Fixed, Method: crisol.MethodWargaming,
		Assurance: d.Assurance, ResidualRisk: report.Risk, Reason: d.Reason,
		Wargame: &crisol.WargameResult{Status: status(d.Verdict, report), Gates: report.Gates, Infrastructure: report.Infrastructure},
	}
	for _, gate := range report.Gates {
		switch gate.Name {
		case crisol.GateExploitVulnerable:
			v.Wargame.Phase1Passed = gate.Outcome == crisol.Passed
		case crisol.GateExploitPatched:
			v.Wargame.Phase2Passed = gate.Outcome == crisol.Passed
		}
	}
	v.Confidence = confidence(d.Verdict, report.Risk)
	return v
}

// confidence: a demonstrated refutation is certain, a `fixed` is as sure as its repeats, what can't be told is no
// confidence at all.
func confidence(v crisol.Verdict, risk float64) float64 {
	switch v {
	case crisol.Fixed:
		return 1 - risk
	case crisol.NotFixed, crisol.Broken:
		return 1
	default:
		return 0
	}
}

func status(v crisol.Verdict, report wargame.Report) crisol.WargameStatus {
	switch {
	case v == crisol.Fixed:
		return crisol.WargameSuccess
	case v == crisol.NotFixed || v == crisol.Broken:
		return crisol.WargameFailed
	case report.TimedOut:
		return crisol.WargameTimeout
	default:
		return crisol.WargameError
	}
}

// Plan is a request that has passed every check that needs no trial.
type Plan struct {
	Request crisol.Request
	// Scenario is nil when there is none to fight over; Reason then says why.
	Scenario *scenario.Scenario
	Patch    *diff.Patch
	// Snippet is the case that was made of a request in the short form; Scenario is then its.
	Snippet *snippet.Case
	Reason  string
	// Order says how to fight: repeats, risk, who watches. What to fight over is the plan's own.
	Order Order
}

// PatchDigest identifies what is said to be the fix; "" where nothing could be made of it.
func (p Plan) PatchDigest() string {
	switch {
	case p.Patch != nil:
		return p.Patch.Digest()
	case p.Snippet != nil:
		return p.Snippet.PatchDigest
	}
	return ""
}

// Resolve checks a request and finds what it is about. Errors are the caller's to mend.
func (f *Flow) Resolve(req crisol.Request) (Plan, error) {
	plan := Plan{Request: req}
	if err := complete(req); err != nil {
		return plan, err
	}
	if req.PatchDiff == "" {
		return wrap(plan)
	}
	patch, err := diff.Parse([]byte(req.PatchDiff), diff.Limits{})
	if err != nil {
		return plan, fmt.Errorf("patch_diff: %w", err)
	}
	plan.Patch = patch
	s, reason, err := f.find(req)
	if err != nil {
		return plan, err
	}
	plan.Scenario, plan.Reason = s, reason
	return plan, nil
}

// wrap makes a trial of the short form. What can't be tried is no error: nothing can be told of it, and why.
func wrap(plan Plan) (Plan, error) {
	v := plan.Request.Vulnerability
	made, err := snippet.Wrap(v.Type, v.AffectedCode, plan.Request.Patch.Code)
	switch {
	case err != nil && crisol.KindOf(err) == crisol.KindInput:
		plan.Reason = err.Error()
		if hint := crisol.HintOf(err); hint != "" {
			plan.Reason += "; " + hint
		}
		return plan, nil
	case err != nil:
		return plan, err
	}
	plan.Snippet, plan.Scenario = made, made.Scenario
	return plan, nil
}

func complete(req crisol.Request) error {
	short := req.Vulnerability != nil && req.Patch != nil && req.Patch.Code != ""
	switch {
	case strings.TrimSpace(req.APVID) == "":
		return crisol.Errorf(crisol.KindInput, "apv_id is missing")
	case req.PatchDiff == "" && !short:
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "the request holds no patch"),
			"send patch_diff, or vulnerability.affected_code and patch.code")
	case req.PatchDiff != "" && req.CVEID == "" && req.ScenarioID == "":
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "the request names neither cve_id nor scenario_id"), "GET /wargaming/scenarios lists them")
	}
	return nil
}

// find looks a scenario up by its id, else by the CVE. None for a CVE is no error: nothing can be told.
func (f *Flow) find(req crisol.Request) (*scenario.Scenario, string, error) {
	if req.ScenarioID != "" {
		s := f.Library.Find(req.ScenarioID)
		if s == nil {
			return nil, "", crisol.WithHint(crisol.Errorf(crisol.KindNotFound, "there is no scenario %q", req.ScenarioID), "GET /wargaming/scenarios lists them")
		}
		return s, "", nil
	}
	found := f.Library.ByAlias(req.CVEID)
	switch len(found) {
	case 0:
		return nil, fmt.Sprintf("there is no scenario for %q in the library, so no exploit can be replayed", req.CVEID), nil
	case 1:
		return found[0], "", nil
	}
	ids := make([]string, len(found))
	for i, s := range found {
		ids[i] = s.ID
	}
	return nil, "", crisol.WithHint(crisol.Errorf(crisol.KindInput, "%s has several scenarios", req.CVEID), "set scenario_id to one of %s", strings.Join(ids, ", "))
}

// Run fights over a resolved request.
func (f *Flow) Run(ctx context.Context, plan Plan) (crisol.Validation, error) {
	if plan.Scenario == nil {
		v := crisol.Validation{Verdict: crisol.Inconclusive, Method: crisol.MethodStatic, ResidualRisk: 1, Reason: plan.Reason, CreatedAt: f.Now().UTC()}
		plan.name(&v)
		return v, nil
	}
	v, err := f.Validate(ctx, plan.order())
	if err != nil {
		return crisol.Validation{}, err
	}
	plan.exemplify(&v)
	plan.name(&v)
	return v, nil
}

// order is the plan's own order, over what the plan is about.
func (p Plan) order() Order {
	o := p.Order
	o.Scenario, o.MinAssurance = p.Scenario, max(o.MinAssurance, p.Request.MinAssurance)
	o.Threshold = max(o.Threshold, p.Request.ConfidenceThreshold)
	o.Candidate = wargame.Candidate{Patch: p.Patch}
	if p.Snippet != nil {
		o.Candidate = wargame.Candidate{Tree: p.Snippet.Patched}
	}
	return o
}

// name gives an answer the names of the request.
func (p Plan) name(v *crisol.Validation) {
	v.APVID, v.PatchID = p.Request.APVID, p.Request.PatchID
	if p.Request.CVEID != "" {
		v.CVEID = p.Request.CVEID
	}
	v.PatchDigest = p.PatchDigest()
}

// exemplify adds to a trial of the short form that doesn't reproduce an example of one that does.
func (p Plan) exemplify(v *crisol.Validation) {
	if p.Snippet != nil && v.Verdict == crisol.Inconclusive && !v.Wargame.Phase1Passed {
		v.Reason += "; " + p.Snippet.Example
	}
}
