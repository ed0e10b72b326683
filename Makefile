# Two commands do everything on a fresh machine: make run, make test. Both install what is missing first.
SHELL   := /bin/bash
CACHE   := $(CURDIR)/.cache
BIN     := $(CURDIR)/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT    := $(CACHE)/bin/golangci-lint-2.15.0
RUNSC   := $(CACHE)/bin/runsc
export CRISOL_RUNSC ?= $(RUNSC)
export PATH := $(CACHE)/bin:$(PATH)

.PHONY: run test lint bench scenarios hostile vuln fuzz contract soak cover build deps tools clean help

help: ## Say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

deps: ## Install what is missing (Debian; elsewhere it says what to install)
	@scripts/deps

tools: deps $(RUNSC)

$(RUNSC):
	@mkdir -p $(@D)
	GOBIN=$(@D) CGO_ENABLED=0 go install gvisor.dev/gvisor/runsc@v0.0.0-20260905035102-160fafc42237

$(LINT):
	@mkdir -p $(@D)
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	@mv $(@D)/golangci-lint $@

build: ## Build bin/crisol
	@mkdir -p $(BIN)
	go build -trimpath -ldflags '-X crisol/internal/app.Version=$(VERSION)' -o $(BIN)/crisol ./cmd/crisol

run: deps build ## Show a first validation of a real CVE, then run the service on 127.0.0.1:8026
	@scripts/demo $(BIN)/crisol

test: tools build ## Run every test with the race detector
	go test -race -timeout 20m ./...

lint: $(LINT) ## gofmt and golangci-lint
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt: $$out"; exit 1; fi
	$(LINT) run ./...

bench: deps build ## Measure: two-phase overhead, each runtime's cost, trials a minute, models beside scikit-learn
	go run ./bench -crisol $(BIN)/crisol
	go run ./bench/model
	go run ./bench/features

SHARD ?=
scenarios: deps build ## Self-test the whole library, or SHARD=K/N of it; what was interrupted goes on; and all snippets
	$(BIN)/crisol scenario test --all --resume --report $(CACHE)/self-test $(if $(SHARD),--shard $(SHARD))
	CRISOL_SNIPPETS=all go test -timeout 30m ./internal/snippet

hostile: tools build ## Try hostile patches through the API under every runtime
	CRISOL_HOSTILE=all go test -v -timeout 60m -run TestHostilePatches ./internal/app

cover: tools ## Coverage of the Go code, through the tests and the binary that they run
	@scripts/cover

vuln: ## Ask the Go vulnerability database about what Crisol is built from (it must be in reach)
	go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...

REQUESTS ?= 20000
contract: deps ## Fuzz the API of a real service from its own OpenAPI document, REQUESTS (20000) at least
	go test ./cmd/crisol -run '^TestContract$$' -count=1 -v -timeout 120m -contract.requests $(REQUESTS) -contract.examples 60

SOAK ?= 30m
soak: deps build ## Load a service and a worker for SOAK (30m), killing, freezing and restarting something every 20 s
	go run ./bench/soak -crisol $(BIN)/crisol -for $(SOAK)

FUZZTIME ?= 10m
fuzz: ## Fuzz the parsers of foreign input, FUZZTIME (10m) each
	go test ./internal/diff -run '^$$' -fuzz FuzzParse -fuzztime $(FUZZTIME)
	go test ./internal/diff -run '^$$' -fuzz FuzzApply -fuzztime $(FUZZTIME)
	go test ./internal/forest -run '^$$' -fuzz FuzzDecode -fuzztime $(FUZZTIME)
	go test ./internal/scenario -run '^$$' -fuzz FuzzManifest -fuzzminimizetime 50x -fuzztime $(FUZZTIME)
	go test ./internal/advisory -run '^$$' -fuzz FuzzRecord -fuzzminimizetime 20x -fuzztime $(FUZZTIME)
	go test ./internal/syntax -run '^$$' -fuzz FuzzParse -fuzzminimizetime 20x -fuzztime $(FUZZTIME)
	go test ./internal/features -run '^$$' -fuzz FuzzCompute -fuzzminimizetime 20x -fuzztime $(FUZZTIME)
	go test ./internal/config -run '^$$' -fuzz FuzzFile -fuzztime $(FUZZTIME)
	go test ./internal/static -run '^$$' -fuzz FuzzDecide -fuzzminimizetime 20x -fuzztime $(FUZZTIME)

clean: ## Remove what was built here
	rm -rf $(BIN) $(CACHE)
