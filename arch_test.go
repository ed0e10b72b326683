package crisol_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rooms says which of the project's own packages each package may import. A package that isn't listed, and an import
// that isn't allowed, fails the test: the change belongs here first.
var rooms = map[string][]string{
	"crisol":                              {},
	"crisol/client":                       {"crisol"},
	"crisol/scenarios":                    {},
	"crisol/internal/kit":                 {"crisol"},
	"crisol/internal/kit/go/trial":        {}, // laid into sandboxes; nothing of Crisol is there
	"crisol/internal/ambiguity":           {"crisol"},
	"crisol/internal/baseline":            {"crisol/internal/diff"},
	"crisol/internal/certify":             {"crisol", "crisol/internal/random"},
	"crisol/internal/random":              {},
	"crisol/internal/syntax":              {},
	"crisol/internal/linear":              {"crisol"},
	"crisol/internal/experiment":          {"crisol", "crisol/internal/certify"},
	"crisol/internal/evaluate":            {"crisol", "crisol/internal/certify", "crisol/internal/random"},
	"crisol/internal/evaluate/report":     {"crisol/internal/certify", "crisol/internal/evaluate"},
	"crisol/internal/cache":               {"crisol", "crisol/internal/resilience"},
	"crisol/internal/cache/redistest":     {}, // for tests
	"crisol/internal/calibrate":           {"crisol"},
	"crisol/internal/sklearntest":         {}, // for tests
	"crisol/internal/forest":              {"crisol", "crisol/internal/random"},
	"crisol/internal/forest/naive":        {}, // what tests and benchmarks hold forest against
	"crisol/internal/features":            {"crisol/internal/ambiguity", "crisol/internal/diff", "crisol/internal/syntax"},
	"crisol/internal/static":              {"crisol", "crisol/internal/diff", "crisol/internal/syntax"},
	"crisol/internal/variant":             {"crisol"},
	"crisol/internal/spelling":            {},
	"crisol/internal/trail":               {"crisol"},
	"crisol/internal/config":              {"crisol", "crisol/internal/spelling"},
	"crisol/internal/verdict":             {"crisol"},
	"crisol/internal/dataset":             {"crisol"},
	"crisol/internal/diff":                {"crisol"},
	"crisol/internal/sandbox":             {"crisol"},
	"crisol/internal/sandbox/stage":       {"crisol", "crisol/internal/sandbox"},
	"crisol/internal/sandbox/bwrap":       {"crisol", "crisol/internal/sandbox", "crisol/internal/sandbox/stage"},
	"crisol/internal/sandbox/oci":         {"crisol", "crisol/internal/sandbox", "crisol/internal/sandbox/stage"},
	"crisol/internal/sandbox/runtimes":    {"crisol", "crisol/internal/sandbox", "crisol/internal/sandbox/bwrap", "crisol/internal/sandbox/oci", "crisol/internal/sandbox/stage"},
	"crisol/internal/sandbox/sandboxtest": {"crisol", "crisol/internal/sandbox"},
	"crisol/internal/target":              {"crisol", "crisol/internal/resilience"},
	"crisol/internal/scenario":            {"crisol", "crisol/internal/kit", "crisol/internal/spelling", "crisol/internal/target", "crisol/internal/variant", "crisol/scenarios"},
	"crisol/internal/advisory":            {"crisol", "crisol/internal/scenario", "crisol/internal/target"},
	"crisol/internal/oracle":              {"crisol/internal/scenario"},
	"crisol/internal/referee":             {"crisol/internal/oracle"},
	"crisol/internal/wargame": {"crisol", "crisol/internal/ambiguity", "crisol/internal/certify", "crisol/internal/diff", "crisol/internal/oracle", "crisol/internal/referee",
		"crisol/internal/sandbox", "crisol/internal/scenario", "crisol/internal/target", "crisol/internal/variant", "crisol/internal/verdict"},
	"crisol/internal/snippet": {"crisol", "crisol/internal/ambiguity", "crisol/internal/diff", "crisol/internal/scenario", "crisol/internal/variant"},
	"crisol/internal/validate": {"crisol", "crisol/internal/certify", "crisol/internal/diff", "crisol/internal/policy", "crisol/internal/scenario", "crisol/internal/snippet", "crisol/internal/static",
		"crisol/internal/verdict", "crisol/internal/wargame"},
	"crisol/internal/store":                    {"crisol"},
	"crisol/internal/store/relational":         {"crisol", "crisol/internal/store", "crisol/internal/store/relational/queries"},
	"crisol/internal/store/relational/queries": {},
	"crisol/internal/store/sqlite":             {"crisol", "crisol/internal/store", "crisol/internal/store/relational"},
	"crisol/internal/store/postgres":           {"crisol", "crisol/internal/store", "crisol/internal/store/relational", "crisol/internal/trail"},
	"crisol/internal/store/pgtest":             {}, // for tests
	"crisol/internal/webhook":                  {"crisol", "crisol/internal/resilience", "crisol/internal/store"},
	"crisol/internal/netns":                    {}, // for tests
	"crisol/internal/proxytest":                {}, // for tests
	"crisol/internal/stream":                   {"crisol", "crisol/internal/store"},
	"crisol/internal/store/storetest":          {"crisol", "crisol/internal/store"},
	"crisol/internal/jobs":                     {"crisol", "crisol/internal/store"},
	"crisol/internal/api":                      {"crisol", "crisol/internal/health", "crisol/internal/access", "crisol/internal/audit", "crisol/internal/cache", "crisol/internal/experiment", "crisol/internal/jobs", "crisol/internal/ratelimit", "crisol/internal/scenario", "crisol/internal/store", "crisol/internal/stream", "crisol/internal/trail"},
	"crisol/internal/api/apitest":              {"crisol", "crisol/internal/api", "crisol/internal/jobs", "crisol/internal/scenario", "crisol/internal/store", "crisol/internal/store/sqlite", "crisol/internal/stream"},
	"crisol/internal/policy":                   {"crisol"},
	"crisol/internal/access":                   {"crisol", "crisol/internal/store"},
	"crisol/internal/access/oidc":              {"crisol", "crisol/internal/access"},
	"crisol/internal/health":                   {},
	"crisol/internal/resilience":               {"crisol"},
	"crisol/internal/ratelimit":                {"crisol/internal/resilience"},
	"crisol/internal/spool":                    {"crisol", "crisol/internal/store"},
	"crisol/internal/desk":                     {"crisol", "crisol/internal/audit", "crisol/internal/jobs", "crisol/internal/store", "crisol/internal/validate"},
	"crisol/internal/revise":                   {"crisol", "crisol/internal/jobs", "crisol/internal/store"},
	"crisol/internal/audit":                    {"crisol", "crisol/internal/certify", "crisol/internal/experiment", "crisol/internal/policy", "crisol/internal/store"},
	"crisol/internal/predict":                  {"crisol", "crisol/internal/calibrate", "crisol/internal/certify", "crisol/internal/dataset", "crisol/internal/experiment", "crisol/internal/forest", "crisol/internal/linear", "crisol/internal/policy"},
	"crisol/models":                            {},
	"crisol/internal/extract":                  {"crisol", "crisol/internal/baseline", "crisol/internal/corpus", "crisol/internal/dataset", "crisol/internal/diff", "crisol/internal/features", "crisol/internal/predict", "crisol/internal/static", "crisol/internal/syntax"},
	"crisol/internal/study":                    {"crisol", "crisol/internal/certify", "crisol/internal/dataset", "crisol/internal/evaluate", "crisol/internal/evaluate/report", "crisol/internal/train"},
	"crisol/internal/round":                    {"crisol", "crisol/internal/scenario", "crisol/internal/wargame"},
	"crisol/internal/train":                    {"crisol", "crisol/internal/calibrate", "crisol/internal/certify", "crisol/internal/dataset", "crisol/internal/experiment", "crisol/internal/forest", "crisol/internal/linear", "crisol/internal/predict"},
	"crisol/internal/show":                     {"crisol", "crisol/internal/certify", "crisol/internal/predict", "crisol/internal/round", "crisol/internal/scenario", "crisol/internal/wargame"},
	"crisol/internal/corpus/mutate":            {"crisol/internal/syntax"},
	"crisol/internal/corpus": {"crisol", "crisol/internal/certify", "crisol/internal/corpus/mutate", "crisol/internal/diff", "crisol/internal/scenario", "crisol/internal/syntax",
		"crisol/internal/target", "crisol/internal/verdict", "crisol/internal/wargame"},
	"crisol/internal/app": {"crisol", "crisol/internal/resilience", "crisol/internal/health", "crisol/internal/access", "crisol/internal/access/oidc", "crisol/internal/ratelimit", "crisol/models", "crisol/internal/audit", "crisol/internal/cache", "crisol/internal/certify", "crisol/internal/dataset", "crisol/internal/experiment", "crisol/internal/baseline", "crisol/internal/desk", "crisol/internal/revise", "crisol/internal/snippet", "crisol/internal/spool", "crisol/internal/store/postgres", "crisol/internal/diff", "crisol/internal/extract", "crisol/internal/features", "crisol/internal/policy", "crisol/internal/predict", "crisol/internal/api", "crisol/internal/jobs", "crisol/internal/referee", "crisol/internal/sandbox", "crisol/internal/sandbox/runtimes",
		"crisol/internal/scenario", "crisol/internal/store", "crisol/internal/store/sqlite", "crisol/internal/target", "crisol/internal/static", "crisol/internal/stream", "crisol/internal/trail", "crisol/internal/validate", "crisol/internal/wargame", "crisol/internal/webhook"},
	"crisol/cmd/crisol": {"crisol", "crisol/models", "crisol/internal/access", "crisol/internal/api", "crisol/internal/store/postgres", "crisol/client", "crisol/internal/config", "crisol/internal/policy", "crisol/internal/advisory", "crisol/internal/app", "crisol/internal/corpus", "crisol/internal/dataset",
		"crisol/internal/evaluate/report", "crisol/internal/extract", "crisol/internal/features", "crisol/internal/predict", "crisol/internal/study", "crisol/internal/diff", "crisol/internal/round",
		"crisol/internal/sandbox/runtimes", "crisol/internal/scenario", "crisol/internal/show", "crisol/internal/target", "crisol/internal/trail", "crisol/internal/validate", "crisol/internal/variant", "crisol/internal/wargame"},
	"crisol/bench/service":  {"crisol", "crisol/internal/app", "crisol/internal/diff", "crisol/internal/policy", "crisol/internal/scenario", "crisol/internal/validate", "crisol/internal/wargame"},
	"crisol/bench/judge":    {"crisol", "crisol/internal/app", "crisol/internal/diff", "crisol/internal/scenario", "crisol/internal/validate", "crisol/internal/wargame"},
	"crisol/bench/model":    {"crisol/internal/forest", "crisol/internal/forest/naive"},
	"crisol/bench/features": {"crisol/internal/corpus", "crisol/internal/diff", "crisol/internal/features", "crisol/internal/syntax"},
	"crisol/bench/hosts":    {"crisol", "crisol/internal/app", "crisol/internal/jobs", "crisol/internal/netns", "crisol/internal/scenario", "crisol/internal/store/pgtest"},
	"crisol/bench/soak":     {"crisol/internal/cache/redistest", "crisol/internal/store/pgtest"},
	"crisol/bench/steady":   {"crisol/internal/app", "crisol/internal/scenario", "crisol/internal/wargame"},
	"crisol/bench":          {"crisol", "crisol/internal/app", "crisol/internal/sandbox", "crisol/internal/sandbox/runtimes", "crisol/internal/scenario", "crisol/internal/target", "crisol/internal/wargame"},
}

// pure lists the packages that decide: they do no input or output of any kind.
var pure = []string{
	"crisol",
	"crisol/internal/ambiguity",
	"crisol/internal/calibrate",
	"crisol/internal/certify",
	"crisol/internal/evaluate",
	"crisol/internal/experiment",
	"crisol/internal/features",
	"crisol/internal/evaluate/report",
	"crisol/internal/forest",
	"crisol/internal/linear",
	"crisol/internal/policy",
	"crisol/internal/random",
	"crisol/internal/static",
	"crisol/internal/variant",
	"crisol/internal/verdict",
}

var effects = []string{"os", "io", "io/fs", "net", "net/http", "os/exec", "database/sql", "log", "log/slog", "syscall", "math/rand", "math/rand/v2"}

func TestWhoMayImportWhom(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		seen[pkg.ImportPath] = true
		allowed, known := rooms[pkg.ImportPath]
		if !known {
			t.Errorf("%s is a new room: say here what it may import", pkg.ImportPath)
			continue
		}
		for _, name := range pkg.Imports {
			own := name == "crisol" || strings.HasPrefix(name, "crisol/")
			if own && !slices.Contains(allowed, name) {
				t.Errorf("%s may not import %s", pkg.ImportPath, name)
			}
			if slices.Contains(pure, pkg.ImportPath) && slices.Contains(effects, name) {
				t.Errorf("%s decides and may not import %s", pkg.ImportPath, name)
			}
		}
	}
	for name := range rooms {
		if !seen[name] {
			t.Errorf("%s is listed here and doesn't exist", name)
		}
	}
}
