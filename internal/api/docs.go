package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsPage string

// addDocs serves the description of the API as JSON and as a page. Both are made once, here; the page needs no script
// and nothing from elsewhere, so it also works where there is no network.
func (s *server) addDocs() {
	for _, name := range []string{"ErrorModel", "ErrorDetail"} { // huma's own form of errors, which asProblem replaces
		delete(s.huma.OpenAPI().Components.Schemas.Map(), name)
	}
	spec, err := published(s.huma.OpenAPI())
	if err != nil {
		panic(fmt.Sprintf("encode openapi: %v", err)) // made of constants: any test shows it
	}
	page, err := renderDocs(s.huma.OpenAPI())
	if err != nil {
		panic(fmt.Sprintf("render docs: %v", err))
	}
	s.mux.HandleFunc("GET /openapi.json", constant("application/json", spec))
	s.mux.HandleFunc("GET /docs", constant("text/html; charset=utf-8", page))
	s.mux.Handle("GET /{$}", http.RedirectHandler("/docs", http.StatusFound))
}

// nullables are members that may be null besides what their schemas say, which huma can't express of an object: of a request
// null counts as absent, and a figure is null where it would divide by zero.
var nullables = map[string][]string{
	"ValidateRequest": {"vulnerability", "patch"},
	"Confusion":       {"accuracy", "precision", "recall", "f1", "inconclusive_share", "coverage", "risk_fixed", "risk_not_fixed"},
}

// published is the description as callers get it.
func published(spec *huma.OpenAPI) ([]byte, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	schemas := tree["components"].(map[string]any)["schemas"].(map[string]any)
	for _, schema := range schemas {
		members, _ := schema.(map[string]any)["properties"].(map[string]any) // not all have some
		for _, member := range members {
			nullChoice(member.(map[string]any))
		}
	}
	for name, members := range nullables {
		properties := schemas[name].(map[string]any)["properties"].(map[string]any)
		for _, member := range members {
			properties[member] = map[string]any{"anyOf": []any{properties[member], map[string]any{"type": "null"}}}
		}
	}
	return json.Marshal(tree)
}

// nullChoice adds null to the choices of a member that may be null: without it they would exclude what its type includes.
func nullChoice(member map[string]any) {
	types, _ := member["type"].([]any)
	choices, _ := member["enum"].([]any)
	if slices.Contains(types, any("null")) && len(choices) > 0 && !slices.Contains(choices, any(nil)) {
		member["enum"] = append(choices, nil)
	}
}

func constant(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body) // a client that is gone can't be told
	}
}

// docOperation is one operation as the page shows it.
type docOperation struct {
	*huma.Operation
	Body     string
	Statuses []docResponse
}

type docResponse struct {
	Status      string
	Description string
	Schema      string
}

type docSchema struct {
	Name, JSON string
}

func renderDocs(spec *huma.OpenAPI) ([]byte, error) {
	var operations []docOperation
	for path, item := range spec.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
			if op != nil {
				op.Path = path
				operations = append(operations, describe(op))
			}
		}
	}
	slices.SortFunc(operations, func(a, b docOperation) int { return strings.Compare(a.Path, b.Path) })
	var schemas []docSchema
	for name, schema := range spec.Components.Schemas.Map() {
		text, err := json.MarshalIndent(schema, "", "  ")
		if err != nil {
			return nil, err
		}
		schemas = append(schemas, docSchema{name, string(text)})
	}
	slices.SortFunc(schemas, func(a, b docSchema) int { return strings.Compare(a.Name, b.Name) })
	page, err := template.New("docs").Parse(docsPage)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{"Info": spec.Info, "Operations": operations, "Schemas": schemas})
	return out.Bytes(), err
}

func describe(op *huma.Operation) docOperation {
	d := docOperation{Operation: op}
	if op.RequestBody != nil {
		d.Body = schemaName(op.RequestBody.Content)
	}
	for status, r := range op.Responses {
		d.Statuses = append(d.Statuses, docResponse{status, r.Description, schemaName(r.Content)})
	}
	slices.SortFunc(d.Statuses, func(a, b docResponse) int { return strings.Compare(a.Status, b.Status) })
	return d
}

// schemaName is the name of the schema of a content, or the names if it is one of several.
func schemaName(content map[string]*huma.MediaType) string {
	var names []string
	for _, media := range content {
		for _, schema := range append(media.Schema.OneOf, media.Schema) {
			if name := schema.Ref[strings.LastIndex(schema.Ref, "/")+1:]; name != "" {
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, " or ")
}
