# Two commands do everything: `make run` and `make test`. Both set the project up first, which needs Python 3.11+ and
# make, and nothing else.

PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := $(shell sed -n 's/.*"uv==\(.*\)".*/\1/p' pyproject.toml)
ACTION ?= synchronize
N ?= 1000
SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help setup run try up down trigger replay trace dashboard pictures chaos alarm-drill load fuzz mutants \
	bench bench-check record docs \
	test test-undeployed test-unit test-integration test-infrastructure test-e2e test-3.14 lint format build deploy clean

help: ## Show this list
	@sed -n 's/^\([a-z0-9.-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-28s %s\n", $$1, $$2}'

setup: .venv/.installed ## Make the environment from the lock file (the other targets do it)

.venv/.installed: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pullback needs Python 3.11 or later; set PYTHON=")'
	@echo "setting up .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "making .venv failed; Debian has it in the package python3-venv"; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@$(BIN)/uv sync --quiet --locked --extra local
	@touch $@

run: setup ## Run the whole flow once on the embedded AWS: two deliveries, every hop shown
	@$(BIN)/python -m pullback run

try: setup ## Your own repository as a pull request: REPO=path; BASE=main, HEAD=branch, ACTION=build, JSON=1
	@$(BIN)/python -m pullback try "$(REPO)" --action "$(if $(filter file default undefined,$(origin ACTION)),build,$(ACTION))" \
	  $(if $(BASE),--base "$(BASE)") $(if $(HEAD),--head "$(HEAD)") $(if $(JSON),--json)

up: setup ## Start the stack and leave it running; .local/stack.json tells where
	@$(BIN)/python -m pullback up

down: setup ## Stop what `make up` started
	@$(BIN)/python -m pullback down

trigger: export PULLBACK_URL = $(URL)
trigger: export PULLBACK_SECRET = $(SECRET)
trigger: setup ## Sign and send a delivery: ACTION=build or EVENT=file.json; PRESS=rerun for a check run's button; URL= and SECRET= for a deployed stack
	@$(BIN)/python -m pullback trigger --action "$(ACTION)" $(if $(EVENT),--event "$(EVENT)") $(if $(PRESS),--press "$(PRESS)")

replay: setup ## List dead work; ERROR=, DELIVERY=, REPOSITORY= or ALL=1 replays it; STACK= for a deployed stack
	@$(BIN)/python -m pullback replay $(if $(STACK),--stack "$(STACK)") $(if $(ERROR),--error "$(ERROR)") \
		$(if $(DELIVERY),--delivery "$(DELIVERY)") $(if $(REPOSITORY),--repository "$(REPOSITORY)") \
		$(if $(ALL),--all) $(if $(YES),--yes) $(if $(QUARANTINE),--quarantine) $(if $(WAIT),--wait "$(WAIT)")

trace: setup ## Show one delivery as a waterfall, here and as a page: DELIVERY= (default: newest); STACK=, HOURS=6, OUT=file
	@$(BIN)/python -m pullback trace $(if $(DELIVERY),--delivery "$(DELIVERY)") $(if $(STACK),--stack "$(STACK)") \
		$(if $(HOURS),--hours "$(HOURS)") $(if $(OUT),--out "$(OUT)")

dashboard: setup ## Traffic of every kind on the local stack, and a page of the CloudWatch dashboard with it; OUT=file
	@$(BIN)/python -m pullback dashboard $(if $(OUT),--out "$(OUT)")

pictures: setup ## Take the README's pictures of the pages that `make run`, `dashboard` and `trace` wrote last
	@$(BIN)/python -m pullback pictures

chaos: setup ## Fault drill: every fault of the table, what must hold is checked; ONLY=regex for some (about 10 minutes)
	@$(BIN)/python -m pullback chaos $(if $(ONLY),--only "$(ONLY)")

alarm-drill: setup ## Alarm drill: every alarm fires and clears, by faults put into the stack; ONLY=regex for some (about 5 minutes)
	@$(BIN)/python -m pullback alarm-drill $(if $(ONLY),--only "$(ONLY)")

load: setup ## Load drill: N=1000 deliveries from 16 clients, each followed to its end; LAG=1: GitHub lags in 1 %
	@$(BIN)/python -m pullback load --n "$(N)" $(if $(LAG),--lag "$(LAG)")

fuzz: setup ## Fuzz every entry with the coverage-guided fuzzer; TARGET=webhook for one, SECONDS=60 for each
	@$(BIN)/uv sync --quiet --locked --extra local --group fuzz
	@$(BIN)/python -m tests.fuzz "$(or $(TARGET),all)" --seconds "$(SECONDS)" $(if $(TARGET),,--json .local/fuzz/record.json)

mutants: setup ## Change the code in small ways, see whether a test notices; ONLY=module (about 20 minutes)
	@$(BIN)/python -m tests.mutants $(if $(ONLY),--only "$(ONLY)")

bench: N = 200 500 1000
bench: setup ## Measure starts, calls, growth, load, to other handlers, into docs/performance.md (about 12 minutes); ONLY=calls for a part, N="200 500 1000"
	@$(BIN)/python -m benchmarks --n $(N) $(if $(ONLY),--only $(ONLY))

bench-check: setup ## Less of it, without the load drill, held to generous bounds (about 80 seconds)
	@$(BIN)/python -m benchmarks --check

record: setup ## Write what load and fuzz found into docs/reliability.md (chaos does it by itself)
	@$(BIN)/python -m pullback record

docs: setup ## Write docs/metrics.md and docs/policy.md from the code
	@$(BIN)/python -m pullback docs

test: test-undeployed ## Run all tests: unit, integration, infrastructure, end to end
	@$(BIN)/pytest -n 2 tests/e2e

test-undeployed: setup ## All tests but those of the deployed stack
	@$(BIN)/pytest -n 2 --dist loadscope tests/unit tests/integration tests/infrastructure tests/fuzz

test-unit: setup ## Unit tests: nothing outside the process
	@$(BIN)/pytest tests/unit

test-integration: setup ## Integration tests: moto, the local GitHub
	@$(BIN)/pytest tests/integration

test-infrastructure: setup ## Infrastructure tests: template, state machine, build
	@$(BIN)/pytest tests/infrastructure

test-e2e: setup ## End-to-end tests: the deployed stack on the embedded AWS, IAM enforced
	@$(BIN)/pytest -n 2 tests/e2e

test-3.14: ## All tests on the Python that the functions run on, in an environment that is thrown away
	@.ci/on-3.14

lint: setup ## Check format, style, types, who imports whom, template
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy functions local drills ops pullback benchmarks tests
	@PYTHONPATH=functions $(BIN)/lint-imports --no-cache
	@$(BIN)/cfn-lint template.yaml
	@SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 $(BIN)/sam validate --lint

format: setup ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

deploy: setup build ## Look whether the account has room, then deploy: STACK=pullback, OVERRIDES="Name=value …", SMALL=1
	@$(BIN)/python -m pullback deploy --stack "$(or $(STACK),pullback)" $(if $(SMALL),--small) \
		$(if $(OVERRIDES),-- --parameter-overrides $(OVERRIDES))

build: setup ## Build the functions for AWS (python3.14, arm64) into .aws-sam
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python functions/package.py python
	@PATH="$(CURDIR)/$(BIN):$$PATH" SAM_CLI_TELEMETRY=0 sam build

clean: ## Remove what was built and what runs wrote; not the environment
	rm -rf .aws-sam .local .pytest_cache .mypy_cache .ruff_cache .hypothesis functions/webhook/triggers.json
