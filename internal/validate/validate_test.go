package validate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"crisol"
	"crisol/internal/diff"
	"crisol/internal/scenario"
	"crisol/internal/validate"
	"crisol/internal/wargame"
)

// arena is a validate.Arena that answers as it is told.
type arena struct {
	report     wargame.Report
	err        error
	applies    error
	unprepared bool
	touched    []diff.Touched
	selfTest   error
	holds      bool
	order      wargame.Order
}

func (a *arena) Run(_ context.Context, o wargame.Order) (wargame.Report, error) {
	a.order = o
	gates := append([]crisol.Gate{o.SelfTest}, a.report.Gates...)
	report := a.report
	report.Gates = gates
	return report, a.err
}

func (a *arena) SelfTest(context.Context, *scenario.Scenario, wargame.SelfTestOptions) (wargame.SelfTest, error) {
	return wargame.SelfTest{Holds: a.holds, Cases: []wargame.SelfTestCase{{Name: "reference", Holds: a.holds}}}, a.selfTest
}

func (a *arena) Prepared(*scenario.Scenario) bool { return !a.unprepared }

func (a *arena) Touched(context.Context, *scenario.Scenario, wargame.Candidate) ([]diff.Touched, error) {
	return a.touched, a.applies
}

// library holds scenarios by id; the alias of each is its CVE.
type library []*scenario.Scenario

func (l library) Find(id string) *scenario.Scenario {
	for _, s := range l {
		if s.ID == id {
			return s
		}
	}
	return nil
}

func (l library) ByAlias(alias string) (found []*scenario.Scenario) {
	for _, s := range l {
		if s.Vulnerability.CVE == alias {
			found = append(found, s)
		}
	}
	return found
}

func named(id, cve string) *scenario.Scenario {
	s := &scenario.Scenario{Digest: "digest of " + id}
	s.ID, s.Vulnerability.CVE = id, cve
	return s
}

func passing() wargame.Report {
	var gates []crisol.Gate
	for _, name := range []crisol.GateName{crisol.GatePrepare, crisol.GateExploitVulnerable, crisol.GatePatchApplies, crisol.GateExploitPatched, crisol.GateBenign} {
		gates = append(gates, crisol.Gate{Name: name, Outcome: crisol.Passed})
	}
	return wargame.Report{Gates: gates, Risk: 0.002}
}

func flow(a *arena) *validate.Flow {
	return &validate.Flow{Arena: a, Now: time.Now, Library: library{named("one", "CVE-2020-0001"), named("two", "CVE-2020-0002"), named("three", "CVE-2020-0002")}}
}

// short makes a request of the short form.
func short(class, affected, patched string) func(*crisol.Request) {
	return func(r *crisol.Request) {
		r.PatchDiff, r.CVEID = "", ""
		r.Vulnerability, r.Patch = &crisol.Vulnerability{Type: class, AffectedCode: affected}, &crisol.CodePatch{Code: patched}
	}
}

const patch = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"

func request(change func(*crisol.Request)) crisol.Request {
	r := crisol.Request{APVID: "apv-1", CVEID: "CVE-2020-0001", PatchID: "p", PatchDiff: patch}
	change(&r)
	return r
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*crisol.Request)
		kind   crisol.Kind // of the error; KindInternal for none
		want   crisol.Verdict
		reason string
	}{
		{"by CVE", func(*crisol.Request) {}, 0, crisol.Fixed, ""},
		{"by scenario", func(r *crisol.Request) { r.ScenarioID = "two" }, 0, crisol.Fixed, ""},
		{"several scenarios", func(r *crisol.Request) { r.CVEID = "CVE-2020-0002" }, crisol.KindInput, "", "several scenarios"},
		{"unknown scenario", func(r *crisol.Request) { r.ScenarioID = "four" }, crisol.KindNotFound, "", "four"},
		{"no scenario for the CVE", func(r *crisol.Request) { r.CVEID = "CVE-1999-1" }, 0, crisol.Inconclusive, "no scenario"},
		{"no APV", func(r *crisol.Request) { r.APVID = " " }, crisol.KindInput, "", "apv_id"},
		{"no patch", func(r *crisol.Request) { r.PatchDiff = "" }, crisol.KindInput, "", "no patch"},
		{"bad patch", func(r *crisol.Request) { r.PatchDiff = "prose" }, crisol.KindInput, "", "patch_diff"},
		{"neither CVE nor scenario", func(r *crisol.Request) { r.CVEID = "" }, crisol.KindInput, "", "neither"},
		{"short form", short("sql_injection", "db.query('SELECT ' + x)", "db.query('SELECT ?', [x])"), 0, crisol.Fixed, ""},
		{"short form without a type", short("", "db.query('SELECT ' + x)", "db.query('SELECT ?', [x])"), 0, crisol.Inconclusive, "vulnerability.type is missing"},
		{"short form that is no code", short("sqli", "db.query('SELECT ' + x)", "use a prepared statement"), 0, crisol.Inconclusive, "this can be tried: {"},
		{"more assurance than there is", func(r *crisol.Request) { r.MinAssurance = crisol.A3 }, 0, crisol.Inconclusive, "A3 was asked for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := flow(&arena{report: passing(), holds: true})
			plan, err := f.Resolve(request(c.change))
			if err == nil {
				var v crisol.Validation
				if v, err = f.Run(t.Context(), plan); err == nil {
					if v.Verdict != c.want || v.PatchValidated != (c.want == crisol.Fixed) || !strings.Contains(v.Reason, c.reason) {
						t.Fatalf("%+v", v)
					}
					if v.APVID != "apv-1" || v.PatchID != "p" {
						t.Errorf("not this request's: %+v", v)
					}
				}
			}
			if (err == nil) != (c.kind == 0) || (err != nil && (crisol.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.reason))) {
				t.Fatalf("error %v of kind %s, want %s", err, crisol.KindOf(err), c.kind)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	failed := passing()
	failed.Gates[3].Outcome = crisol.Failed
	late := wargame.Report{TimedOut: true, Risk: 1, Infrastructure: "the time ran out"}
	broken := passing()
	broken.Gates[4].Outcome = crisol.Failed
	for _, c := range []struct {
		name   string
		a      arena
		want   crisol.Verdict
		status crisol.WargameStatus
		sure   float64
	}{
		{"fixed", arena{report: passing(), holds: true}, crisol.Fixed, crisol.WargameSuccess, 0.998},
		{"not fixed", arena{report: failed, holds: true}, crisol.NotFixed, crisol.WargameFailed, 1},
		{"broken", arena{report: broken, holds: true}, crisol.Broken, crisol.WargameFailed, 1},
		{"too late", arena{report: late, holds: true}, crisol.Inconclusive, crisol.WargameTimeout, 0},
		{"the self-test fails", arena{report: passing()}, crisol.Inconclusive, crisol.WargameError, 0},
		{"the self-test can't run", arena{report: passing(), holds: true, selfTest: errors.New("no sandbox")}, crisol.Inconclusive, crisol.WargameError, 0},
		{"the self-test can't run, but the exploit works", arena{report: failed, selfTest: errors.New("no sandbox")}, crisol.NotFixed, crisol.WargameFailed, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := flow(&c.a).Validate(t.Context(), validate.Order{Order: wargame.Order{Scenario: named("one", "CVE-2020-0001")}})
			if err != nil {
				t.Fatal(err)
			}
			if v.Verdict != c.want || v.Wargame.Status != c.status || v.Confidence != c.sure || v.ScenarioID != "one" || v.ScenarioDigest != "digest of one" {
				t.Errorf("%+v, status %s", v, v.Wargame.Status)
			}
			if v.PatchValidated != (c.want == crisol.Fixed) {
				t.Errorf("validated: %v", v.PatchValidated)
			}
		})
	}
}

func TestPatchThatDoesNotApplyIsRefusedBeforeAnythingRuns(t *testing.T) {
	a := &arena{report: passing(), holds: true, applies: crisol.Errorf(crisol.KindInput, "hunk 1 doesn't apply")}
	p, err := diff.Parse([]byte(patch), diff.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	order := validate.Order{Order: wargame.Order{Scenario: named("one", ""), Candidate: wargame.Candidate{Patch: p}}}
	if _, err := flow(a).Validate(t.Context(), order); crisol.KindOf(err) != crisol.KindInput {
		t.Errorf("%v", err)
	}
	if a.order.Scenario != nil {
		t.Error("a trial was held")
	}
	a.applies = crisol.Errorf(crisol.KindInfrastructure, "the registry does not answer")
	if _, err := flow(a).Validate(t.Context(), order); err != nil || a.order.Scenario == nil {
		t.Errorf("what isn't the input's fault is the trial's to tell: %v", err)
	}
	a.err = crisol.Errorf(crisol.KindInput, "no such version")
	if _, err := flow(a).Validate(t.Context(), order); crisol.KindOf(err) != crisol.KindInput {
		t.Errorf("%v", err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := flow(&arena{holds: true}).Validate(ctx, validate.Order{Order: wargame.Order{Scenario: named("one", "")}}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestShortForm: the case is fought over as any other, and its digests cover both snippets.
func TestShortForm(t *testing.T) {
	a := &arena{report: passing(), holds: true}
	f := flow(a)
	plan, err := f.Resolve(request(short("sqli", "db.query('SELECT ' + x)", "db.query('SELECT ?', [x])")))
	if err != nil {
		t.Fatal(err)
	}
	v, err := f.Run(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if v.ScenarioID != "snippet/sql_injection/javascript" || v.Method != crisol.MethodWargaming || v.ScenarioDigest == "" || v.PatchDigest == "" || v.PatchDigest != plan.PatchDigest() {
		t.Errorf("%+v", v)
	}
	if a.order.Scenario != plan.Scenario || a.order.Candidate.Tree == nil {
		t.Errorf("%+v", a.order)
	}
	a.report.Gates[1].Outcome = crisol.Failed
	if v, err = f.Run(t.Context(), plan); err != nil || v.Verdict != crisol.Inconclusive || !strings.Contains(v.Reason, "this can be tried") {
		t.Errorf("%+v, %v", v, err)
	}
}
