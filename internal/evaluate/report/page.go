package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// HTML renders the report as one page that stands alone.
func HTML(r Report) ([]byte, error) {
	type split struct {
		Name, About, Size string
		Plots             []plot
		Tables            []table
	}
	data := struct {
		Title  string
		Facts  []Fact
		Checks []table
		Splits []split
	}{Title: r.Title, Facts: r.Facts}
	if len(r.Checks) > 0 {
		data.Checks = []table{checkTable(r.Checks)}
	}
	for _, s := range r.Splits {
		data.Splits = append(data.Splits, split{s.Name, s.About, size(s.Result), plots(s.Result), tables(s)})
	}
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("render report: %w", err)
	}
	return b.Bytes(), nil
}
