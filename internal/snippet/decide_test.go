package snippet_test

import (
	"crisol/internal/certify"
	"crisol/internal/verdict"
	"crisol/internal/wargame"
)

func decide(report wargame.Report) verdict.Decision {
	return verdict.Decide(report.Gates, report.Risk, certify.DefaultRisk)
}
