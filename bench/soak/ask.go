package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
)

// question is one request, and what is known of its answer beforehand.
type question struct {
	kind         string
	method, path string
	body         map[string]any
	verdict      string // the right one, where the answer has one
	trial        bool   // the verdict is a wargame's
	known        bool   // every request of the kind is asked again and again
	also         int    // another status that is right
}

// affected is the code that all short forms start from.
const affected = "db.query('SELECT * FROM users WHERE id = ' + id)"

// short makes a request in short form.
func short(name, code string) map[string]any {
	return map[string]any{
		"apv_id": name, "cve_id": "CVE-2024-0001",
		"vulnerability": map[string]any{"type": "sql_injection", "severity": "high", "affected_code": affected},
		"patch":         map[string]any{"type": "parameterized_query", "code": code},
	}
}

// decided is a request that the static checks decide: n makes it one that was never asked before.
func decided(n int) question {
	q := question{kind: "ml-first, miss", method: http.MethodPost, path: "/wargaming/ml-first"}
	if n%2 == 0 {
		q.body, q.verdict = short(fmt.Sprint("miss-", n), fmt.Sprintf("%s // note %d", affected, n)), "not_fixed"
	} else {
		q.body, q.verdict = short(fmt.Sprint("miss-", n), fmt.Sprintf("db.query('SELECT * FROM users WHERE id = %d +", n)), "broken"
	}
	return q
}

// repeated is one of twenty requests that are answered from the cache after the first time.
func repeated(n int) question {
	q := decided(n % 20)
	q.kind, q.known, q.body["apv_id"] = "ml-first, repeated", true, fmt.Sprint("hit-", n%20)
	return q
}

// fought is a request that only a trial can decide.
func fought(n int) question {
	q := question{kind: "validate", method: http.MethodPost, path: "/wargaming/validate", trial: true}
	if n%2 == 0 {
		q.body, q.verdict = short(fmt.Sprint("trial-", n), fmt.Sprintf("db.query('SELECT * FROM users WHERE id = ? LIMIT %d', [id])", 5+n)), "fixed"
	} else {
		q.body, q.verdict = short(fmt.Sprint("trial-", n), fmt.Sprintf("db.query('SELECT * FROM users WHERE id = ' + String(id) + ' LIMIT %d')", 5+n)), "not_fixed"
	}
	q.body["wait"] = "20s"
	return q
}

// look is a request that changes nothing. id is of a validation that was accepted, or "".
func look(luck *rand.Rand, id string) question {
	reads := []question{
		{kind: "health", path: "/health"},
		{kind: "health", path: "/health/ready", also: http.StatusServiceUnavailable}, // the answer that it is for
		{kind: "health", path: "/health/detailed"},
		{kind: "read", path: "/wargaming/validations?limit=20"},
		{kind: "read", path: "/wargaming/ab-testing/status"},
		{kind: "read", path: "/wargaming/models"},
		{kind: "read", path: "/wargaming/ml/stats?time_range=1h"},
		{kind: "read", path: "/wargaming/scenarios?cve_id=CVE-2019-10744"},
		{kind: "accuracy", path: "/wargaming/ml/accuracy?time_range=24h"}, // ten a minute, so that some are refused
	}
	if id != "" {
		reads = append(reads, question{kind: "read", path: "/wargaming/validations/" + id}, question{kind: "read", path: "/wargaming/validations/" + id})
	}
	q := reads[luck.IntN(len(reads))]
	q.method = http.MethodGet
	return q
}
