package app

import (
	"encoding/json"
	"path/filepath"

	"crisol/internal/diff"
	"crisol/internal/extract"
	"crisol/internal/features"
	"crisol/internal/predict"
	"crisol/internal/scenario"
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
	return &predict.Registry{Shipped: models.FS, Dir: filepath.Join(data, "models")}, nil
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

// explained is how many features an answer names.
const explained = 5

// oracle is the champion as the flow sees it.
type oracle struct{ models *predict.Registry }

// Predict asks the champion.
func (o oracle) Predict(s *scenario.Scenario, files []diff.Touched) (validate.Opinion, error) {
	champion, err := o.models.Champion()
	if err != nil {
		return validate.Opinion{}, err
	}
	read := Features(s, files)
	p, err := champion.Explain(read, explained)
	return validate.Opinion{
		Prediction: p, Bounds: champion.Bounds(), FeatureVersion: read.Version,
		Features: func() ([]byte, error) { return json.Marshal(read) },
	}, err
}
