package show

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"charm.land/lipgloss/v2"

	"crisol"
	"crisol/internal/certify"
	"crisol/internal/predict"
)

// Models writes a table of models.
func Models(w io.Writer, list []predict.Entry) error {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MODEL\tDECIDES\tFEATURES\tROWS\tGROUPS\tAUC\tFIXED FROM\tNOT FIXED UP TO")
	for _, e := range list {
		decides := ""
		if e.Champion {
			decides = "yes"
		}
		if e.Manifest == nil {
			fmt.Fprintf(table, "%s\t%s\t%s\n", e.Version, decides, Clean(e.Error))
			continue
		}
		m := e.Manifest
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%.3f\t%s\t%s\n", e.Version, decides, m.FeatureVersion, m.Provenance.Rows, m.Provenance.Groups,
			m.Provenance.Measured["auc"], threshold(m.Certificates.Fixed), threshold(m.Certificates.NotFixed))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func threshold(c certify.Certificate) string {
	if c.Abstains || c.Alpha == 0 {
		return "no certificate"
	}
	return fmt.Sprintf("%.3f (risk %.0f %%)", c.Threshold, 100*c.Alpha)
}

// Prediction writes what a model says of a patch.
func Prediction(w io.Writer, p crisol.MLPrediction) error {
	var b strings.Builder
	writePrediction(&b, p)
	_, err := lipgloss.Fprint(w, b.String())
	return err
}

func writePrediction(b *strings.Builder, p crisol.MLPrediction) {
	words := "not fixed"
	if p.Valid {
		words = "fixed"
	}
	fmt.Fprintf(b, "%s predicts %s: probability of fixed %.3f\n", p.ModelVersion, bold.Render(words), p.Probability)
	for _, c := range p.Explanation {
		fmt.Fprintf(b, "  %+.3f  %s %s\n", c.Contribution, c.Feature, faint.Render(fmt.Sprintf("= %.4g", c.Value)))
	}
}
