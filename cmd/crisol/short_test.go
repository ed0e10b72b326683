package main_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestShortFormOverHTTP: the service tries code on both sides, and says of the plan's own example that it tells nothing.
func TestShortFormOverHTTP(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), freeAddr(t))
	ask := func(affected, patch string) map[string]any {
		t.Helper()
		status, _, v := s.call(http.MethodPost, "/wargaming/validate", map[string]any{
			"apv_id": "apv-002", "cve_id": "CVE-2024-0001", "wait": "0s",
			"vulnerability": map[string]any{"type": "sql_injection", "severity": "high", "affected_code": affected},
			"patch":         map[string]any{"type": "parameterized_query", "code": patch},
		})
		if status != http.StatusAccepted && status != http.StatusOK {
			t.Fatalf("%d %v", status, v)
		}
		return s.finished(v["validation_id"].(string))
	}
	v := ask("SELECT * FROM users WHERE id = ?", "SELECT * FROM users WHERE id = $1")
	result := v["wargaming_result"].(map[string]any)
	if v["verdict"] != "inconclusive" || v["patch_validated"] != false || result["phase_1_passed"] != false || !strings.Contains(v["reason"].(string), "never succeeds on the vulnerable target") {
		t.Errorf("%v: %v", v["verdict"], v["reason"])
	}
	v = ask("SELECT * FROM users WHERE id = ${id}", "SELECT * FROM users WHERE id = ?")
	if v["verdict"] != "fixed" || v["patch_validated"] != true || v["validation_method"] != "wargaming" || v["scenario_id"] != "snippet/sql_injection/sql" || v["cve_id"] != "CVE-2024-0001" {
		t.Errorf("%v", v)
	}
}
