// Package revise judges verdicts anew whose scenario has changed since.
//
// In go the scenarios' versions as they are today and the validations that rest on others; out come wargames that nobody
// waits for, at the lowest priority and few at once, and a mark on every verdict that was judged anew: superseded where it
// stands, revoked where it doesn't, with an event and a message to the webhook that the request had named. A verdict that
// can't be confirmed is revoked too: "could not be told" is not "still fixed".
//
// Nothing is remembered but those marks. What was asked but not settled when the process ended is found again by the
// patch, the scenario and its version, so that a patch is fought over once however many verdicts rest on it, and however
// often the work is interrupted. The package knows nothing of patches and sandboxes.
package revise

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"crisol"
	"crisol/internal/jobs"
	"crisol/internal/store"
)

// History is what is known of validations (store.Validations).
type History interface {
	BasedOn(ctx context.Context, scenarioID, otherThanDigest, after string, limit int) ([]store.Row, error)
	List(ctx context.Context, f store.Filter) ([]store.Row, error)
	Get(ctx context.Context, id string) (store.Record, error)
	Supersede(ctx context.Context, id, by string) error
	Revoke(ctx context.Context, r store.Revocation) error
}

// Queue holds wargames (jobs.Queue).
type Queue interface {
	Submit(ctx context.Context, a jobs.Ask) (store.Submission, error)
	Wait(ctx context.Context, id string) error
}

// Client is the name under which wargames are asked for here, and Priority the lowest there is.
const (
	Client   = "revision"
	Priority = 3
)

// EventRevoked is the kind of the event, and of the webhook's message, that tells of a revocation.
const EventRevoked = "validation_revoked"

// VersionsKey is the setting with the versions of scenarios that verdicts are held to: those of the service that started
// last. One that still runs with others leaves verdicts alone, else two would revoke each other's.
const VersionsKey = "scenario_versions"

// Reviser judges anew. All fields but the last three must be set.
type Reviser struct {
	History  History
	Queue    Queue
	Settings store.Settings
	// Versions has the digest of each scenario of today.
	Versions map[string]string
	// Forget drops what is cached about an APV.
	Forget func(ctx context.Context, apvID string)
	Logger *slog.Logger
	Now    func() time.Time
	// Parallel is how many wargames are asked for at once; 0 is one.
	Parallel int
	// Every is the pause between two looks for verdicts that rest on other versions; 0 is 10 minutes.
	Every time.Duration
	// Later is how long a trial is left alone that infrastructure kept from telling; 0 is an hour.
	Later time.Duration
}

// page is how many verdicts are looked at at once.
const page = 100

// Run judges anew until ctx is done.
func (r *Reviser) Run(ctx context.Context) {
	for claimed := false; ; {
		var err error
		if !claimed {
			err = r.Claim(ctx)
			claimed = err == nil
		}
		if claimed {
			err = r.Pass(ctx)
		}
		if err != nil && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "verdicts that rest on other versions of scenarios were not all judged anew", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(cmp.Or(r.Every, 10*time.Minute)):
		}
	}
}

// Claim makes the versions of this process the ones that verdicts are held to.
func (r *Reviser) Claim(ctx context.Context) error {
	for {
		known, version, err := r.versions(ctx)
		if err != nil {
			return err
		}
		maps.Copy(known, r.Versions)
		text, err := json.Marshal(known)
		if err != nil {
			return fmt.Errorf("write the setting %s: %w", VersionsKey, err)
		}
		if _, err = r.Settings.Set(ctx, VersionsKey, text, version); !errors.Is(err, store.ErrChanged) {
			return err
		}
	}
}

func (r *Reviser) versions(ctx context.Context) (map[string]string, int64, error) {
	known := map[string]string{}
	text, version, err := r.Settings.Get(ctx, VersionsKey)
	if err != nil || version == 0 {
		return known, 0, err
	}
	if err := json.Unmarshal(text, &known); err != nil {
		return nil, 0, crisol.Errorf(crisol.KindInternal, "read the setting %s: %w", VersionsKey, err)
	}
	return known, version, nil
}

// Pass judges all verdicts anew that rest on other versions. Those that could not be judged now stay for the next.
func (r *Reviser) Pass(ctx context.Context) error {
	held, _, err := r.versions(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(r.Versions)) {
		if held[id] == r.Versions[id] {
			errs = append(errs, r.scenario(ctx, id, r.Versions[id]))
		}
	}
	return errors.Join(errs...)
}

func (r *Reviser) scenario(ctx context.Context, id, digest string) error {
	var errs []error
	// What comes in meanwhile is the next pass's: a worker that has another version would keep this one busy for ever.
	began := r.Now()
	for after := ""; ctx.Err() == nil; {
		rows, err := r.History.BasedOn(ctx, id, digest, after, page)
		if err != nil || len(rows) == 0 {
			return errors.Join(append(errs, err)...)
		}
		after = rows[len(rows)-1].ID
		byPatch := map[string][]store.Row{}
		for _, row := range rows {
			if row.CreatedAt.Before(began) {
				byPatch[row.PatchDigest] = append(byPatch[row.PatchDigest], row)
			}
		}
		var group errgroup.Group
		group.SetLimit(max(1, r.Parallel))
		for _, patch := range slices.Sorted(maps.Keys(byPatch)) {
			group.Go(func() error { return r.patch(ctx, digest, byPatch[patch]) })
		}
		errs = append(errs, group.Wait())
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// patch judges anew all verdicts about one patch.
func (r *Reviser) patch(ctx context.Context, digest string, rows []store.Row) error {
	fresh, err := r.fight(ctx, digest, rows[0])
	refused := crisol.KindOf(err) == crisol.KindInput || crisol.KindOf(err) == crisol.KindNotFound
	if err != nil && !refused {
		return fmt.Errorf("judge validation %s anew: %w", rows[0].ID, err)
	}
	for _, row := range rows {
		if row.ID == fresh.ID {
			continue
		}
		record, settle := r.History.Get(ctx, row.ID)
		if settle == nil {
			f := compare(record, fresh)
			if refused {
				f = finding{reason: "under today's version of its scenario it can't be judged: " + err.Error()}
			}
			settle = r.settle(ctx, record, fresh, f)
		}
		if settle != nil && !errors.Is(settle, store.ErrNotFound) { // retention may have been faster
			return fmt.Errorf("mark validation %s: %w", row.ID, settle)
		}
	}
	return nil
}

// errLater says that a trial was held not long ago and that infrastructure kept it from telling.
var errLater = crisol.Errorf(crisol.KindInfrastructure, "infrastructure kept the wargame from telling; it is tried again later")

// fight returns a wargame of today's version about the patch of a verdict: one that was held already, or a new one.
func (r *Reviser) fight(ctx context.Context, digest string, row store.Row) (store.Record, error) {
	for asked := false; ; {
		held, err := r.History.List(ctx, store.Filter{ScenarioID: row.ScenarioID, ScenarioDigest: digest, PatchDigest: row.PatchDigest, Limit: page})
		if err != nil {
			return store.Record{}, err
		}
		var wait string
		switch found := choose(held); {
		case found == nil && asked: // it was judged by somebody who has another version
			return store.Record{}, errLater
		case found == nil:
			if wait, err = r.submit(ctx, row); err != nil {
				return store.Record{}, err
			}
			asked = true
		case found.State != store.Finished:
			wait = found.ID
		default:
			record, err := r.History.Get(ctx, found.ID)
			if err != nil || !faulty(record) {
				return record, err
			}
			if asked || r.Now().Sub(record.FinishedAt) < cmp.Or(r.Later, time.Hour) {
				return store.Record{}, errLater
			}
			if wait, err = r.submit(ctx, row); err != nil {
				return store.Record{}, err
			}
			asked = true
		}
		if err := r.Queue.Wait(ctx, wait); err != nil {
			return store.Record{}, err
		}
	}
}

// choose takes the wargame to go by, of those that there are of a patch under today's version, newest first: one that
// decides, else one that is under way, else one of our own that could not tell. Nil where there is none.
func choose(held []store.Row) *store.Row {
	var open, untold *store.Row
	for i, row := range held {
		switch {
		case row.State != store.Finished && row.Mode == store.ModeValidate:
			open = cmp.Or(open, &held[i])
		case row.State != store.Finished || row.Method != crisol.MethodWargaming && row.Method != crisol.MethodFallback:
		case row.Verdict != crisol.Inconclusive:
			return &held[i]
		case row.Client == Client: // another's may be inconclusive because it asked for more assurance
			untold = cmp.Or(untold, &held[i])
		}
	}
	return cmp.Or(open, untold)
}

// faulty says whether infrastructure kept a wargame from telling.
func faulty(r store.Record) bool {
	v := r.Validation
	return v == nil || v.Verdict == crisol.Inconclusive && v.Wargame != nil && v.Wargame.Infrastructure != ""
}

func (r *Reviser) submit(ctx context.Context, row store.Row) (string, error) {
	record, err := r.History.Get(ctx, row.ID)
	if err != nil {
		return "", err
	}
	ask := jobs.Ask{Request: record.Request, Mode: store.ModeValidate, Client: Client, Priority: Priority}
	// What assurance each request wanted is compared afterwards: one wargame serves them all.
	ask.Request.ScenarioID, ask.Request.MinAssurance, ask.Request.Wait = row.ScenarioID, crisol.A0, ""
	sub, err := r.Queue.Submit(ctx, ask)
	if err == nil {
		r.Logger.InfoContext(ctx, "a verdict is judged anew, since its scenario has changed", "validation_id", row.ID, "scenario_id", row.ScenarioID, "by", sub.ID)
	}
	return sub.ID, err
}

// finding is what a new wargame says of an old verdict.
type finding struct {
	stands bool
	reason string // why it doesn't
}

// compare holds a verdict against a wargame of today's version.
func compare(old, fresh store.Record) finding {
	if fresh.Validation == nil {
		return finding{reason: "it was not judged"}
	}
	switch v, wanted := *fresh.Validation, old.Request.MinAssurance; {
	case v.Verdict != old.Verdict:
		return finding{reason: fmt.Sprintf("its scenario has changed, and the patch is %s now: %s", v.Verdict, v.Reason)}
	case v.Verdict == crisol.Fixed && v.Assurance < wanted:
		return finding{reason: fmt.Sprintf("its scenario has changed, and the patch is fixed at assurance %s now, where %s was asked for", cmp.Or(v.Assurance.String(), "none"), wanted)}
	}
	return finding{stands: true}
}

// Revoked is what is told of a revocation.
type Revoked struct {
	ValidationID string         `json:"validation_id"`
	APVID        string         `json:"apv_id"`
	CVEID        string         `json:"cve_id,omitempty"`
	PatchID      string         `json:"patch_id,omitempty"`
	ScenarioID   string         `json:"scenario_id"`
	Was          crisol.Verdict `json:"was"`
	Verdict      crisol.Verdict `json:"verdict"` // of the wargame that judged anew
	SupersededBy string         `json:"superseded_by,omitempty"`
	Reason       string         `json:"reason"`
	RevokedAt    time.Time      `json:"revoked_at"`
}

// settle marks a verdict.
func (r *Reviser) settle(ctx context.Context, old, fresh store.Record, f finding) error {
	if f.stands {
		return r.History.Supersede(ctx, old.ID, fresh.ID)
	}
	told := Revoked{
		ValidationID: old.ID, APVID: old.APVID, CVEID: old.CVEID, PatchID: old.PatchID, ScenarioID: old.ScenarioID, Was: old.Verdict,
		Verdict: cmp.Or(fresh.Verdict, crisol.Inconclusive), SupersededBy: fresh.ID, Reason: f.reason, RevokedAt: r.Now().UTC().Truncate(time.Microsecond),
	}
	body, err := json.Marshal(told)
	if err != nil {
		return fmt.Errorf("write a revocation: %w", err)
	}
	change := store.Revocation{ID: old.ID, By: fresh.ID, Reason: f.reason, At: told.RevokedAt, Events: []store.Event{
		{At: told.RevokedAt, Kind: EventRevoked, Subject: old.ID, Key: "revoked/" + old.ID, Body: body},
	}}
	if old.Webhook != "" {
		change.Deliveries = []store.Delivery{{
			ID: "revoked/" + old.ID, ValidationID: old.ID, Kind: EventRevoked, URL: old.Webhook, Body: body, CreatedAt: told.RevokedAt,
		}}
	}
	if err := r.History.Revoke(ctx, change); err != nil {
		return err
	}
	r.Logger.WarnContext(ctx, "a verdict was revoked", "validation_id", old.ID, "was", old.Verdict, "is", told.Verdict, "by", fresh.ID)
	r.Forget(ctx, old.APVID)
	return nil
}
