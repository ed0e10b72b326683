package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"crisol"
	"crisol/internal/app"
)

// ages reads how long the service keeps each kind of what it knows, such as events=7d.
func ages(keep map[string]string) (app.Ages, error) {
	var a app.Ages
	kinds := map[string]*time.Duration{
		"validations": &a.Validations, "events": &a.Events, "counts": &a.Counts, "deliveries": &a.Deliveries, "ab-tests": &a.ABTests,
	}
	for _, kind := range slices.Sorted(maps.Keys(keep)) {
		into, known := kinds[kind]
		if !known {
			return a, crisol.WithHint(crisol.Errorf(crisol.KindInput, "--keep %s: there is no such kind", kind), "one of %s", strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
		}
		age, err := parseAge(keep[kind])
		if err != nil {
			return a, crisol.WithHint(crisol.Errorf(crisol.KindInput, "--keep %s=%s: want days or forever", kind, keep[kind]), "for example --keep %s=30d", kind)
		}
		*into = age
	}
	if a.ABTests > 0 && a.ABTests < app.LeastABTests {
		return a, crisol.WithHint(crisol.Errorf(crisol.KindInput, "--keep ab-tests=%s is too short", keep["ab-tests"]), "figures look back 30 days; %dd is the least", int(app.LeastABTests.Hours()/24))
	}
	return a, nil
}

// parseAge reads days, such as 30d, or forever, which is below 0.
func parseAge(text string) (time.Duration, error) {
	if text == "forever" {
		return -1, nil
	}
	days, ok := strings.CutSuffix(text, "d")
	n, err := strconv.Atoi(days)
	if !ok || err != nil || n < 1 || n > 36500 {
		return 0, crisol.Errorf(crisol.KindInput, "age %q", text)
	}
	return time.Duration(n) * 24 * time.Hour, nil
}
