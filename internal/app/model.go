package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"crisol"
	"crisol/internal/api"
	"crisol/internal/audit"
	"crisol/internal/certify"
	"crisol/internal/dataset"
	"crisol/internal/diff"
	"crisol/internal/experiment"
	"crisol/internal/extract"
	"crisol/internal/features"
	"crisol/internal/policy"
	"crisol/internal/predict"
	"crisol/internal/resilience"
	"crisol/internal/scenario"
	"crisol/internal/snippet"
	"crisol/internal/target"
	"crisol/internal/validate"
	"crisol/models"
)

// Models opens the registry of models: those that come with Crisol, and those below the data directory.
func Models(c Config) (*predict.Registry, error) {
	data, err := c.data()
	if err != nil {
		return nil, err
	}
	dir := cmp.Or(c.ModelDir, filepath.Join(data, "models"))
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, crisol.WithHint(crisol.Errorf(crisol.KindInput, "the models' directory %s is a file", dir), "name the directory that the model lies in")
	}
	return &predict.Registry{Shipped: models.FS, Dir: dir}, nil
}

// Features computes what a model reads of a candidate for a scenario, from what it makes of the target's files.
func Features(s *scenario.Scenario, touched []diff.Touched) predict.Features {
	return extract.Features(input(s, touched))
}

func input(s *scenario.Scenario, touched []diff.Touched) features.Input {
	about := features.Vulnerability{
		ID: s.Vulnerability.CVE, CWE: s.Vulnerability.CWE, Type: s.Vulnerability.Type, Severity: s.Vulnerability.Severity,
		Ecosystem: "dir", Package: s.ID, Text: s.Title,
	}
	if p, err := target.ParsePackage(s.Target.Package); err == nil {
		about.Ecosystem, about.Package = p.Ecosystem, p.Name
	}
	return extract.Input(about, touched)
}

// onSnippets marks a model where it is asked about snippets, for which it wasn't trained: another model, as trust goes.
const onSnippets = "+snippet"

// explained is how many features an answer names.
const explained = 5

// The model's guard: after so many failures in a row it isn't asked for a while, and then once, to see. An answer takes
// milliseconds; one that takes as long as modelPatience, say because a disk doesn't give the file, is not waited for.
const (
	modelFailures = 5
	modelRest     = 10 * time.Second
	modelPatience = 2 * time.Second
	modelsAtOnce  = 64
)

// oracle is the champion as the flow sees it.
type oracle struct {
	models *predict.Registry
	// auditor says what tests in service made of the model's trust; nil where there are none.
	auditor *audit.Auditor
	guard   *resilience.Guard
	hanging chan struct{} // a place for each answer that may be under way, also of those that nobody waits for any more
	memory  extract.Memory

	mu     sync.Mutex
	usable []*predict.Bundle
	listed time.Time
	kept   string // the version that the registry named when it was looked at last
	looked time.Time
}

func newOracle(models *predict.Registry, auditor *audit.Auditor, guard *resilience.Guard, memory extract.Memory) *oracle {
	return &oracle{models: models, auditor: auditor, guard: guard, hanging: make(chan struct{}, 2*modelsAtOnce), memory: memory}
}

// Predict asks the champion.
func (o *oracle) Predict(s *scenario.Scenario, files []diff.Touched) (opinion validate.Opinion, err error) {
	err = o.guard.Do(context.Background(), func(ctx context.Context) error {
		opinion, err = within(ctx, o.hanging, func() (validate.Opinion, error) { return o.ask(s, files) })
		return err
	})
	if errors.Is(err, resilience.ErrOpen) {
		return opinion, fmt.Errorf("%w: %w", validate.ErrBreaker, err)
	}
	return opinion, err
}

// within runs what can't be called off, and leaves it alone when ctx is done. A panic is an error. It takes a place, and
// gives it back when the work has ended, however late.
func within[T any](ctx context.Context, places chan struct{}, work func() (T, error)) (T, error) {
	type ended struct {
		value T
		err   error
	}
	var none T
	select {
	case places <- struct{}{}:
	default:
		return none, crisol.Errorf(crisol.KindInternal, "the model hangs: %d answers are under way", cap(places))
	}
	end := make(chan ended, 1)
	go func() {
		defer func() {
			<-places
			if fault := recover(); fault != nil {
				end <- ended{err: crisol.Errorf(crisol.KindInternal, "the model panicked: %v", fault)}
			}
		}()
		value, err := work()
		end <- ended{value, err}
	}()
	select {
	case e := <-end:
		return e.value, e.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (o *oracle) ask(s *scenario.Scenario, files []diff.Touched) (validate.Opinion, error) {
	champion, err := o.champion()
	if err != nil {
		return validate.Opinion{}, err
	}
	read := o.memory.Features(input(s, files))
	p, err := champion.Explain(read, explained)
	if err != nil {
		return validate.Opinion{}, err
	}
	opinion := validate.Opinion{
		Prediction: p, Bounds: champion.Bounds(), FeatureVersion: read.Version,
		Features: func() ([]byte, error) { return json.Marshal(keptFeatures{read.Version, read.Vector, read.NGrams}) },
	}
	if snippet.Made(s) { // certificates are about patches of packages: of snippets, trust is known by tests alone
		opinion.Prediction.ModelVersion += onSnippets
		why := "its certificates are about patches of packages, not about snippets"
		opinion.Bounds.Fixed = policy.Bound{Threshold: policy.DefaultThreshold, Risk: 1, Why: why}
		opinion.Bounds.NotFixed = opinion.Bounds.Fixed
	}
	if o.auditor != nil {
		opinion.Bounds = o.auditor.Bounds(opinion.Prediction.ModelVersion, opinion.Bounds)
		opinion.Others = o.others(champion.Version, read)
	}
	return opinion, nil
}

// keptFeatures is how A/B tests keep what the model read: a feature without a value is null.
type keptFeatures struct {
	Version string
	Vector  dataset.Vector
	NGrams  dataset.NGrams
}

// champion is the model that decides: the one promoted in the store, else the registry's. Which that is is looked up now
// and then, since every request asks.
func (o *oracle) champion() (*predict.Bundle, error) {
	if o.auditor != nil {
		if version := o.auditor.Champion(); version != "" {
			return o.models.Open(version)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); o.kept == "" || now.Sub(o.looked) > lookFor {
		version, err := o.models.ChampionVersion()
		if err != nil {
			return nil, err
		}
		o.kept, o.looked = version, now
	}
	return o.models.Open(o.kept)
}

// lookFor is how long the model that the registry names is taken for the one.
const lookFor = time.Second

// others asks the challengers. One that fails says nothing.
func (o *oracle) others(champion string, read predict.Features) map[string]float64 {
	others := map[string]float64{}
	for _, b := range o.bundles() {
		if b.Version == champion {
			continue
		}
		if p, err := b.Predict(read); err == nil {
			others[b.Version] = p.Probability
		}
	}
	return others
}

// listFor is how long the list of models is taken for what it was.
const listFor = 5 * time.Second

func (o *oracle) bundles() []*predict.Bundle {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.Sub(o.listed) > listFor {
		o.usable, o.listed = o.models.Usable(), now
	}
	return o.usable
}

// trusted lists the models with the certificates that they bring along, as the auditor wants them.
func trusted(registry *predict.Registry) func() ([]audit.Model, error) {
	return func() ([]audit.Model, error) {
		var list []audit.Model
		for _, b := range registry.Usable() {
			list = append(list, audit.Model{Version: b.Version, Bounds: b.Bounds(), Profile: b.Profile}, audit.Model{Version: b.Version + onSnippets})
		}
		return list, nil
	}
}

// registry is the models as the API sees them.
type registry struct {
	oracle  *oracle
	auditor *audit.Auditor
}

// compareOver is how far back challengers are held against the champion.
const compareOver = 30 * 24 * time.Hour

// List returns every model, with how far it is trusted.
func (r registry) List(ctx context.Context) ([]api.Model, error) {
	entries, err := r.oracle.models.List()
	if err != nil {
		return nil, err
	}
	champion, err := r.Champion(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]api.Model, len(entries))
	for i, e := range entries {
		m := api.Model{Version: e.Version, Champion: e.Version == champion, Shipped: e.Shipped, Error: e.Error}
		if e.Manifest != nil {
			r.describe(&m, e.Manifest)
			if !m.Champion {
				c, err := r.auditor.Compare(ctx, champion, e.Version, r.auditor.Now().Add(-compareOver))
				if err != nil {
					return nil, err
				}
				m.Against = &c
			}
		}
		list[i] = m
	}
	return list, nil
}

func (r registry) describe(m *api.Model, manifest *predict.Manifest) {
	m.FeatureVersion, m.Rows, m.Measured = manifest.FeatureVersion, manifest.Provenance.Rows, manifest.Provenance.Measured
	m.Certificates = map[string]api.Certificate{}
	bounds := manifest.Bounds()
	for name, b := range map[certify.Side]policy.Bound{certify.Fixed: bounds.Fixed, certify.NotFixed: bounds.NotFixed} {
		m.Certificates[string(name)] = api.Certificate{Certified: b.Certified, Threshold: b.Threshold, Risk: b.Risk, Reason: b.Why}
	}
	for _, of := range []certify.Side{certify.Fixed, certify.NotFixed} {
		for _, version := range []string{m.Version, m.Version + onSnippets} {
			if s, ok := r.auditor.Sides(version)[of]; ok {
				m.Trust = append(m.Trust, s)
			}
		}
	}
}

// Promote makes a model the champion of all that share the store. Without force it must have been shown to be better, on
// tests that both were asked in.
func (r registry) Promote(ctx context.Context, version string, force bool) (api.Model, error) {
	b, err := r.oracle.models.Open(version)
	if err != nil {
		return api.Model{}, err
	}
	champion, err := r.Champion(ctx)
	if err != nil {
		return api.Model{}, err
	}
	if version != champion && !force {
		c, err := r.auditor.Compare(ctx, champion, version, r.auditor.Now().Add(-compareOver))
		if err != nil {
			return api.Model{}, err
		}
		if c.Finding != experiment.Better {
			return api.Model{}, crisol.WithHint(crisol.Errorf(crisol.KindInput, "%d tests in which both were asked don't show that %s is better than %s: %s", c.Pairs, version, champion, c.Finding),
				"wait for more tests, or force it")
		}
	}
	if err := r.auditor.Promote(ctx, version); err != nil {
		return api.Model{}, err
	}
	m := api.Model{Version: version, Champion: true}
	r.describe(&m, &b.Manifest)
	return m, nil
}

// Champion is the version that decides.
func (r registry) Champion(context.Context) (string, error) {
	if version := r.auditor.Champion(); version != "" {
		return version, nil
	}
	return r.oracle.models.ChampionVersion()
}

// epoch names all that decides an answer beside the request: the models, their trust, the scenarios.
type epoch struct {
	auditor *audit.Auditor
	oracle  *oracle
	static  string // what doesn't change while the process runs

	mu   sync.Mutex
	seen epochOf
	name string
}

func (e *epoch) String() string {
	champion, err := e.oracle.champion()
	if err != nil {
		return "" // no model: what is answered meanwhile is of no other epoch
	}
	now := epochOf{e.auditor.Epoch(), champion}
	e.mu.Lock()
	defer e.mu.Unlock()
	if now != e.seen || e.name == "" {
		e.seen, e.name = now, e.static+"/"+champion.Version+"/"+champion.Digest+"/"+now.trust
	}
	return e.name
}

// epochOf is what an epoch's name was made of.
type epochOf struct {
	trust    string
	champion *predict.Bundle
}
