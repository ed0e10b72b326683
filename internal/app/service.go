package app

import (
	"context"
	"errors"
	"time"

	"crisol"
	"crisol/internal/audit"
	"crisol/internal/desk"
	"crisol/internal/jobs"
	"crisol/internal/store"
	"crisol/internal/validate"
	"crisol/internal/wargame"
)

// validator is the flow as the queue sees it.
type validator struct {
	app     *App
	auditor *audit.Auditor
	counts  store.Counters
}

// Check refuses what no trial could decide.
func (v validator) Check(ctx context.Context, r crisol.Request) (store.Accepted, error) {
	plan, err := v.app.Flow.Resolve(r)
	if err != nil {
		return store.Accepted{}, err
	}
	accepted := store.Accepted{Normalised: plan.Request, PatchDigest: plan.PatchDigest()}
	if plan.Scenario == nil {
		return accepted, nil
	}
	accepted.ScenarioID, accepted.ScenarioDigest = plan.Scenario.ID, plan.Scenario.Digest
	if plan.Patch == nil || !v.app.Arena.Prepared(plan.Scenario) {
		return accepted, nil // a snippet always applies; fetching a target takes too long for an answer: the trial will tell
	}
	_, err = v.app.Arena.Touched(ctx, plan.Scenario, wargame.Candidate{Patch: plan.Patch})
	return accepted, err
}

// Run decides as the mode asks. A trial that infrastructure kept from telling is an error beside its evidence, so that the
// queue tries it again and keeps the evidence of the last try.
func (v validator) Run(ctx context.Context, s store.Submission) (jobs.Outcome, error) {
	plan, err := v.app.Flow.Resolve(s.Normalised)
	if err != nil {
		return jobs.Outcome{}, err
	}
	var answer validate.Answer
	if s.Mode == store.ModeMLFirst {
		answer, err = v.app.Flow.RunMLFirst(ctx, plan)
	} else {
		answer.Validation, err = v.app.Flow.Run(ctx, plan)
	}
	if err != nil {
		return jobs.Outcome{}, err
	}
	answer.ID = s.ID
	result := jobs.Outcome{Validation: answer.Validation}
	if err := faulty(answer.Validation); err != nil {
		return result, err
	}
	result.ABTest, err = v.compared(ctx, s, answer)
	if err != nil {
		v.app.Log.ErrorContext(ctx, "an A/B test could not be made", "validation_id", s.ID, "error", err)
	}
	return result, nil
}

// faulty is the fault of the infrastructure that kept a trial from telling, if one did.
func faulty(v crisol.Validation) error {
	if v.Wargame != nil && v.Wargame.Infrastructure != "" && v.Verdict == crisol.Inconclusive && v.Wargame.Status != crisol.WargameTimeout {
		return crisol.Errorf(crisol.KindInfrastructure, "%s", v.Wargame.Infrastructure)
	}
	return nil
}

// compared is the A/B test of an answer with a prediction.
func (v validator) compared(ctx context.Context, s store.Submission, answer validate.Answer) (*store.ABTest, error) {
	if answer.Opinion == nil || v.auditor == nil {
		return nil, nil
	}
	if answer.Method != crisol.MethodML {
		return v.auditor.Judged(desk.Prediction(answer), s, answer.Validation)
	}
	test, unaudited, err := v.auditor.Plan(desk.Prediction(answer), s)
	if err == nil && unaudited != nil {
		err = v.counts.Add(ctx, []store.Count{*unaudited})
	}
	return test, err
}

// auditTries is how often a wargame is held for an A/B test before what it can't tell is taken as its result.
const auditTries = 3

// Audit holds the wargame of a pending A/B test. An error of crisol.KindInfrastructure is worth another try.
func (v validator) Audit(ctx context.Context, id string, try int) error {
	test, err := v.auditor.Store.ABTests().Get(ctx, id)
	switch {
	case err != nil && crisol.KindOf(err) == crisol.KindNotFound:
		return nil // retention was faster
	case err != nil:
		return err
	case test.State == store.Judged:
		return nil
	}
	record, err := v.auditor.Store.Get(ctx, test.ValidationID)
	if err != nil && crisol.KindOf(err) == crisol.KindNotFound { // retention was faster: there is nothing to fight over
		err = v.auditor.Judge(ctx, id, crisol.Validation{Verdict: crisol.Inconclusive, Reason: "its request is no longer kept"})
		if errors.Is(err, store.ErrJudged) {
			return nil
		}
	}
	if err != nil || record.ID == "" {
		return err
	}
	plan, err := v.app.Flow.Resolve(record.Request)
	if err != nil {
		return err
	}
	result, err := v.app.Flow.Run(ctx, plan)
	if err == nil {
		err = faulty(result)
	}
	if err != nil && (crisol.KindOf(err) == crisol.KindInfrastructure && try < auditTries || ctx.Err() != nil) {
		return err
	}
	if err != nil {
		result.Verdict, result.Reason = crisol.Inconclusive, err.Error()
	}
	err = v.auditor.Judge(ctx, id, result)
	if errors.Is(err, store.ErrJudged) {
		return nil
	}
	return err
}

// timeout is the flow's bound on one trial.
func (a *App) timeout() time.Duration {
	if a.Timeout > 0 {
		return a.Timeout
	}
	return validate.DefaultTimeout
}
