# One line per target over an npm script or a file of hack/. `make` alone lists them.
SHELL := /bin/bash
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
NAME ?= tabard
RANGE ?= 10.199
CLUSTER ?= embedded
DRIVER = node hack/cluster/main.ts

.DEFAULT_GOAL := help
.PHONY: help deps build typecheck lint fmt verify manifests golden interop test test-unit test-integration test-e2e kill soak churn fuzz \
	image cluster cluster-down kubectl helm demo demo-down tabard clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9%-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ See it work
demo: deps ## The main job on a real cluster, step by step with evidence (ONCE=1 ends after it; CLUSTER=current uses kubectl's cluster)
	@node hack/demo/main.ts up $(if $(ONCE),--once) --cluster $(CLUSTER) $(if $(REGISTRY),--registry $(REGISTRY))

demo-down: deps ## Remove the demo and its cluster
	@node hack/demo/main.ts down --cluster $(CLUSTER)

tabard: deps ## The CLI on the cluster that kubectl points at: make tabard ARGS="certs -A"
	@node cli/main.ts $(ARGS)

##@ Test
test: deps ## Everything: static checks, unit, integration and end-to-end tests
	@node hack/test.ts

test-unit: deps ## Rules and readers, no sockets (ARGS=path narrows it)
	@npm run --silent test:unit -- $(ARGS)

test-integration: deps ## Real sockets, processes and API server
	@npm run --silent test:integration -- $(ARGS)

test-e2e: deps image ## On the embedded cluster
	@npm run --silent test:e2e -- $(ARGS)

kill: deps ## Operators killed before and after every call of CA rotations, reads and writes in every phase (about half an hour)
	@TABARD_KILL_ALL=1 npm run --silent test:integration -- test/integration/operator/rotation.sigkill

soak: deps image ## Rotation under mixed load for ten minutes
	@TABARD_SOAK_SECONDS=600 npm run --silent test:e2e -- rotation $(ARGS)

churn: deps ## Two sidecars under every kind of connection and change, for MINUTES=60 or HOURS=24: do they grow?
	@node --disable-warning=ExperimentalWarning bench/churn.ts $(if $(HOURS),--hours $(HOURS),--minutes $(or $(MINUTES),60)) $(ARGS)

FUZZED = $(addprefix test/unit/lib/pki/,writer lists names readers) test/unit/sidecar/tunnel test/unit/sidecar/http1/.*property test/unit/sidecar/http2 test/unit/lib/policy/rules.property test/unit/lib/cel
fuzz: deps ## Properties of certificates, names, frames, relays and HTTP at length (TIMES=50, SEED, ARGS=path)
	@export TABARD_FUZZ=$(or $(TIMES),50) TABARD_FUZZ_SEED=$(or $(SEED),$$RANDOM); echo "SEED=$$TABARD_FUZZ_SEED"; \
	npm run --silent test:unit -- $(or $(ARGS),$(FUZZED)) && $(if $(ARGS),true,npm run --silent test:integration -- test/integration/pki/names test/integration/http1/backends test/integration/sidecar/relay/halves)

bench-%: deps ## A benchmark by name: make bench-mesh (ARGS are the benchmark's own)
	@node --disable-warning=ExperimentalWarning --expose-gc bench/$*.ts $(ARGS)

##@ Develop
build: deps ## Bundle the entry points into dist/
	@npm run --silent build

typecheck: deps ## TypeScript, strict
	@npm run --silent typecheck

lint: deps ## oxlint (type-aware) and Biome
	@npm run --silent lint

fmt: deps ## Format with Biome
	@npm run --silent format

manifests: deps ## Copy the CRDs into the chart and write the generated docs
	@node hack/manifests.ts

interop: deps ## Run the interop tests and write docs/interop.md from what they see
	@INTEROP_PAGE=1 npm run --silent test:integration -- test/integration/interop

golden: deps ## Rewrite the expected files of the injection and CLI tests and docs/http-conformance.md (review them as code)
	@UPDATE_GOLDEN=1 npm run --silent test:unit -- test/unit/webhook test/unit/cli/authz test/unit/sidecar/http1/rfc

verify: typecheck lint ## Static checks, and fail if generated files are out of date
	@node hack/manifests.ts --check

image: deps ## Build the container image into dist/image without a container engine
	@node hack/image/main.ts

##@ Cluster
cluster: deps ## Build (first time: about nine minutes) and start the embedded cluster (NAME, RANGE)
	@$(DRIVER) up --name $(NAME) --range $(RANGE)

cluster-down: deps ## Stop exactly what `make cluster` started
	@$(DRIVER) down --name $(NAME)

kubectl: deps ## kubectl on the embedded cluster: make kubectl ARGS="get pods -A"
	@$(DRIVER) kubectl --name $(NAME) -- $(ARGS)

helm: deps ## helm on the embedded cluster: make helm ARGS="list -A"
	@$(DRIVER) helm --name $(NAME) -- $(ARGS)

##@ Housekeeping
deps: node_modules/.stamp ## Install the pinned packages (Node itself is one of them)

node_modules/.stamp: package.json package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing. Install Node.js with npm (any version; Tabard brings its own Node for everything else)."; exit 1; }
	@echo "Installing the packages of package-lock.json ..."
	@# Not `npm ci`: where the lock was written the registry has no packages of other platforms, and `npm ci` refuses a lock without them.
	@npm install --no-save --loglevel=error && touch $@

clean: ## Remove what was built in the checkout (caches and clusters stay)
	@rm -rf dist coverage node_modules
