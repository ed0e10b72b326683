package api

import (
	"context"
	"io/fs"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"crisol/internal/scenario"
)

// ScenarioSummary is a scenario in the list.
type ScenarioSummary struct {
	ID       string   `json:"id" example:"CVE-2019-10744"`
	Title    string   `json:"title"`
	CVE      string   `json:"cve,omitempty"`
	Aliases  []string `json:"aliases,omitempty"`
	CWE      []string `json:"cwe,omitempty"`
	Severity string   `json:"severity,omitempty"`
	Type     string   `json:"type,omitempty" doc:"The class of the weakness" example:"prototype_pollution"`
	Target   string   `json:"target" doc:"The purl of the vulnerable package, or the folder of the target"`
	Exploits int      `json:"exploits" doc:"How many: the proof and its variants"`
	Benign   int      `json:"benign"`
	Tests    int      `json:"tests"`
	Digest   string   `json:"digest" doc:"The scenario's version"`
	Verified string   `json:"verified,omitempty" format:"date" doc:"The day on which its self-test was last seen green"`
}

// ScenarioDetail is one scenario with what is run in it.
type ScenarioDetail struct {
	ScenarioSummary
	Reference  ScenarioFix     `json:"reference" doc:"The fix that must come out fixed"`
	Incomplete []ScenarioFix   `json:"incomplete,omitempty" doc:"Declared fixes that must come out not_fixed"`
	Build      [][]string      `json:"build,omitempty"`
	Service    []string        `json:"service,omitempty" doc:"The server that runs beside each input"`
	ExploitsIn []ScenarioInput `json:"exploit_inputs"`
	BenignIn   []ScenarioInput `json:"benign_inputs"`
	TestsIn    []ScenarioInput `json:"test_inputs"`
	Limits     ScenarioLimits  `json:"limits"`
	Files      []string        `json:"files" doc:"What lies beside the manifest"`
}

// ScenarioFix is another state of the target.
type ScenarioFix struct {
	Package string `json:"package,omitempty"`
	Patch   string `json:"patch,omitempty"`
	Dir     string `json:"dir,omitempty"`
}

// ScenarioInput is one exploit, benign input or test.
type ScenarioInput struct {
	ID    string   `json:"id"`
	Title string   `json:"title,omitempty"`
	Run   []string `json:"run"`
}

// ScenarioLimits bound each process tree of a scenario; 0 is the default.
type ScenarioLimits struct {
	TimeoutSeconds float64 `json:"timeout_seconds"`
	MemoryBytes    int64   `json:"memory_bytes"`
	Processes      int     `json:"processes"`
	DiskBytes      int64   `json:"disk_bytes"`
}

// ScenarioList is the exploit database.
type ScenarioList struct {
	Scenarios []ScenarioSummary `json:"scenarios" nullable:"false"`
}

type scenariosInput struct {
	CVEID string `query:"cve_id" maxLength:"64" doc:"Only scenarios with this CVE or alias"`
}

type scenariosOutput struct{ Body ScenarioList }

type scenarioInput struct {
	ID string `path:"id" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$"`
}

type scenarioOutput struct{ Body ScenarioDetail }

func (s *server) addScenarios() {
	huma.Register(s.huma, s.operation(huma.Operation{
		OperationID: "list-scenarios", Method: http.MethodGet, Path: "/wargaming/scenarios", Tags: []string{"Scenarios"},
		Summary: "The exploit database, by id",
	}, http.StatusServiceUnavailable), s.scenarios)
	huma.Register(s.huma, s.operation(huma.Operation{
		OperationID: "get-scenario", Method: http.MethodGet, Path: "/wargaming/scenarios/{id}", Tags: []string{"Scenarios"},
		Summary: "One scenario with what is run in it",
	}, http.StatusNotFound, http.StatusServiceUnavailable), s.scenario)
}

func (s *server) scenarios(ctx context.Context, in *scenariosInput) (*scenariosOutput, error) {
	all, err := s.Library.List(ctx)
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	list := ScenarioList{Scenarios: []ScenarioSummary{}}
	for _, sc := range all {
		if v := sc.Vulnerability; in.CVEID == "" || v.CVE == in.CVEID || slices.Contains(v.Aliases, in.CVEID) {
			list.Scenarios = append(list.Scenarios, scenarioSummary(sc))
		}
	}
	return &scenariosOutput{list}, nil
}

func (s *server) scenario(ctx context.Context, in *scenarioInput) (*scenarioOutput, error) {
	sc, err := s.Library.Get(ctx, in.ID)
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	detail, err := scenarioDetail(sc)
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	return &scenarioOutput{detail}, nil
}

func scenarioSummary(sc *scenario.Scenario) ScenarioSummary {
	out := ScenarioSummary{
		ID: sc.ID, Title: sc.Title, CVE: sc.Vulnerability.CVE, Aliases: sc.Vulnerability.Aliases, CWE: sc.Vulnerability.CWE,
		Severity: sc.Vulnerability.Severity, Type: sc.Vulnerability.Type, Target: sc.Target.Package,
		Exploits: len(sc.Exploits), Benign: len(sc.Benign), Tests: len(sc.Tests), Digest: sc.Digest,
	}
	if out.Target == "" {
		out.Target = sc.Target.Dir
	}
	if !sc.Verified.IsZero() {
		out.Verified = sc.Verified.Format("2006-01-02")
	}
	return out
}

func scenarioDetail(sc *scenario.Scenario) (ScenarioDetail, error) {
	out := ScenarioDetail{
		ScenarioSummary: scenarioSummary(sc), Reference: ScenarioFix(sc.Target.Reference),
		BenignIn: inputs(sc.Benign), TestsIn: inputs(sc.Tests), ExploitsIn: []ScenarioInput{}, Files: []string{},
		Limits: ScenarioLimits{TimeoutSeconds: sc.Limits.Timeout.Seconds(), MemoryBytes: sc.Limits.Memory,
			Processes: sc.Limits.Processes, DiskBytes: sc.Limits.Disk},
	}
	for _, fix := range sc.Target.Incomplete {
		out.Incomplete = append(out.Incomplete, ScenarioFix(fix))
	}
	for _, step := range sc.Target.Build {
		out.Build = append(out.Build, step.Run)
	}
	if sc.Target.Service != nil {
		out.Service = sc.Target.Service.Run
	}
	for _, e := range sc.Exploits {
		out.ExploitsIn = append(out.ExploitsIn, ScenarioInput{ID: e.ID, Title: e.Title, Run: e.Run})
	}
	if sc.Files == nil {
		return out, nil
	}
	err := fs.WalkDir(sc.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out.Files = append(out.Files, path)
		}
		return err
	})
	return out, err
}

func inputs(in []scenario.Input) []ScenarioInput {
	out := []ScenarioInput{}
	for _, i := range in {
		out = append(out, ScenarioInput{ID: i.ID, Title: i.Title, Run: i.Run})
	}
	return out
}
