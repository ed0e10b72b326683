package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"crisol/internal/scenario"
)

// The room's own types, under names that tell in the schema what they are of.
type (
	// ScenarioSummary is a scenario in the list.
	ScenarioSummary scenario.Summary
	// ScenarioDetail is one scenario with what is run in it.
	ScenarioDetail scenario.Detail
)

// ScenarioList is the exploit database.
type ScenarioList struct {
	Scenarios []ScenarioSummary `json:"scenarios" nullable:"false"`
}

type scenariosInput struct {
	CVEID string `query:"cve_id" minLength:"1" maxLength:"64" doc:"Only scenarios with this CVE or alias"`
}

type scenariosOutput struct{ Body ScenarioList }

type scenarioInput struct {
	ID string `path:"id" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._@-]*$"`
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
			list.Scenarios = append(list.Scenarios, ScenarioSummary(sc.Summary()))
		}
	}
	return &scenariosOutput{list}, nil
}

func (s *server) scenario(ctx context.Context, in *scenarioInput) (*scenarioOutput, error) {
	sc, err := s.Library.Get(ctx, in.ID)
	if err != nil {
		return nil, s.asError(ctx, err)
	}
	return &scenarioOutput{ScenarioDetail(sc.Detail())}, nil
}
