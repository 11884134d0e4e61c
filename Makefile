# The manual is `make help`. Recipes are short; what is longer is a program in devstack/ or tests/.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PART ?=

.PHONY: help up down status logs console story audit env start stop restart watch trace clean test lint lint-api format proto rules charts lock bank-approve bank-decline bank-hang bank-drop bank-reset kind-up kind-test kind-down torture soak rough simulate seeds mutants linearizability notice bench bench-operator bench-takeover bench-tracing budget bench-compare

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk 'BEGIN {FS = ":.*## "} {printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/.stamp: requirements/dev.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m devstack.bootstrap $(VENV)

up: $(VENV)/.stamp ## Start the whole platform on this machine: make up [DEVSTACK_PORTS=free] [CLUSTER=mine]
	@$(PY) -m devstack up

down: $(VENV)/.stamp ## End it; its data stays
	@$(PY) -m devstack down

status: $(VENV)/.stamp ## Show every part with its health and address, and how far the events are behind
	@$(PY) -m devstack status

logs: $(VENV)/.stamp ## Follow the logs of the services, or of one part: make logs [PART=postgres] [REQUEST=id] [CHECKOUT=id] [LEVEL=warning]
	@$(PY) -m devstack logs $(PART) --request "$(REQUEST)" --checkout "$(CHECKOUT)" --level "$(LEVEL)"

console: $(VENV)/.stamp ## Open the console, or print its address
	@$(PY) -m devstack console

story: $(VENV)/.stamp ## Print one purchase's story: make story CHECKOUT=<its id, order id, key, request id or trace id>
	@$(PY) -m devstack story "$(CHECKOUT)"

audit: $(VENV)/.stamp ## Hold the books of all stores against each other once; 0: they agree, 1: they differ, 2: one could not be read
	@$(PY) -m devstack audit

env: $(VENV)/.stamp ## Print export lines for psql and others: eval "$$(make -s env)"
	@$(PY) -m devstack env

start: $(VENV)/.stamp ## Start a stopped part: make start PART=orders
	@$(PY) -m devstack start $(PART)

stop: $(VENV)/.stamp ## Stop a part: make stop PART=orders
	@$(PY) -m devstack stop $(PART)

restart: $(VENV)/.stamp ## Stop a part and start it again: make restart PART=orders
	@$(PY) -m devstack restart $(PART)

watch: $(VENV)/.stamp ## Watch it until Ctrl-C, with alerts as they come: make watch [PROMETHEUS_PORT=9090] [GRAFANA_PORT=3000]
	@$(PY) -m devstack watch

trace: $(VENV)/.stamp ## Trace every request until Ctrl-C, with a page for each trace: make trace [JAEGER_PORT=16686] [OTLP_PORT=4318] [TRACE_PORT=16687]
	@$(PY) -m devstack trace

clean: $(VENV)/.stamp ## Delete all data of the platform
	@$(PY) -m devstack clean

test: lint ## Lint, then every test that needs no Docker: make test [ARGS="tests/services/cart -x"]
	@$(PY) -m devstack fetch && $(if $(ARGS),$(VENV)/bin/pytest $(ARGS),$(PY) -m tests.lanes)

lint: $(VENV)/.stamp ## Style, types and import rules
	@$(VENV)/bin/ruff check && $(VENV)/bin/ruff format --check && $(VENV)/bin/mypy && PYTHONPATH=operator $(VENV)/bin/lint-imports

lint-api: $(VENV)/.stamp ## Lint openapi.yaml with @redocly/cli, which needs Node.js
	@$(PY) -m devstack.lint_api

format: $(VENV)/.stamp ## Format the code
	@$(VENV)/bin/ruff format && $(VENV)/bin/ruff check --fix

proto: $(VENV)/.stamp ## Make services/pb from protos/
	@$(PY) -m grpc_tools.protoc -I services/pb=protos --python_out=. --pyi_out=. --grpc_python_out=. protos/*.proto

rules: $(VENV)/.stamp ## Check the alerts with promtool, and run them on a platform; builds Prometheus where there is none
	@$(VENV)/bin/pytest tests/rules $(ARGS)

notice: $(VENV)/.stamp ## Change books by hand on a platform, and hold the auditor, as it is shipped, to its minute: 3 min
	@$(PY) -m devstack fetch && $(VENV)/bin/pytest tests/services/auditor/test_as_shipped.py $(ARGS)

charts: $(VENV)/.stamp ## Make the charts' schemas, README tables, dashboards and copy of the resource
	@$(PY) -m devstack.charts

LOCK := $(VENV)/bin/uv pip compile -q pyproject.toml --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11
lock: $(VENV)/.stamp ## Make the lock files from pyproject.toml
	@$(LOCK) --extra services -o requirements/services.txt
	@$(LOCK) --extra operator -c requirements/services.txt -o requirements/operator.txt
	@$(LOCK) --extra services --extra operator --extra devstack --extra dev -c requirements/services.txt -o requirements/dev.txt

BANK = $(PY) -m devstack bank
# USER is everybody's login name, unless it stands on the command line: make bank-decline USER=7.
WHO = $(or $(USER_ID),$(if $(findstring command,$(origin USER)),$(USER)))
WHOM = $(if $(WHO),--user $(WHO)) $(if $(TIMES),--times $(TIMES))
bank-approve: $(VENV)/.stamp ## The bank approves: make bank-approve [USER_ID=1] [TIMES=2]
	@$(BANK) approve $(WHOM)

bank-decline: $(VENV)/.stamp ## The bank declines
	@$(BANK) decline $(WHOM)

bank-hang: $(VENV)/.stamp ## The bank does not answer, and charges nothing
	@$(BANK) hang $(WHOM)

bank-drop: $(VENV)/.stamp ## The bank charges, and does not answer
	@$(BANK) drop $(WHOM)

bank-reset: $(VENV)/.stamp ## The bank draws its outcomes again
	@$(BANK) reset $(WHOM)

kind-up: $(VENV)/.stamp ## Make a kind cluster with the platform on it: make kind-up [GATEWAY_PORT=8080] [KIND_CLUSTER=cartwright] [IMAGE_TAG=…, not built] [KIND_NODE_IMAGE=…]
	@$(PY) -m devstack.kind up

kind-test: $(VENV)/.stamp ## Test the platform on that cluster: REST, kubectl, updates and failures of pods
	@$(VENV)/bin/pytest --platform=kind -m "not local" tests/e2e tests/kind $(ARGS)

kind-down: $(VENV)/.stamp ## Delete that cluster
	@$(PY) -m devstack.kind down

# PASS, POINT and FAULT are as a failure has printed them.
torture: $(VENV)/.stamp ## Strike every fault at every recorded point of a purchase, and go on where it stopped: make torture [SCHEDULES=5000] [JOBS=3] [MINUTES=60] [SEED=1] [FRESH=1] [REPORT=1], or one alone: POINT="…" PASS=1 FAULT=lost, or COMBINATION=7
	@$(PY) -m tests.torture $(if $(SCHEDULES),--schedules "$(SCHEDULES)") $(if $(JOBS),--jobs "$(JOBS)") $(if $(MINUTES),--minutes "$(MINUTES)") $(if $(SEED),--seed "$(SEED)") $(if $(POINT),--point "$(POINT)") $(if $(PASS),--pass "$(PASS)") $(if $(FAULT),--fault "$(FAULT)") $(if $(COMBINATION),--combination "$(COMBINATION)") $(if $(FRESH),--fresh) $(if $(REPORT),--report)

soak: $(VENV)/.stamp ## Buy at half of the capacity with a fault a minute, and draw what must stay flat: make soak [MINUTES=60]
	@$(PY) -m tests.torture.soak --minutes "$(or $(MINUTES),60)"

rough: $(VENV)/.stamp ## The same with one trouble all the time: make rough TROUBLE=postgres|kafka|disk|connections|versions [MINUTES=10] [OLD=commit]
	@$(PY) -m tests.torture.soak --trouble "$(or $(TROUBLE),postgres)" --minutes "$(or $(MINUTES),10)" $(if $(OLD),--old "$(OLD)")

simulate: $(VENV)/.stamp ## Run simulated schedules of faults: make simulate [SEEDS=20000] [FIRST=1] [JOBS=2], or replay one: make simulate SEED=7
	@PYTHONPATH=.:operator $(PY) -m tests.simulation $(if $(SEED),--seed "$(SEED)" $(if $(WHOLE),--whole),--seeds "$(or $(SEEDS),20000)" --first "$(or $(FIRST),1)" --jobs "$(or $(JOBS),1)")

seeds: $(VENV)/.stamp ## Plant each of the seeded bugs, and run the test that must notice it: make seeds [SEED=name]
	@$(PY) -m devstack fetch && $(PY) -m tests.seeds $(if $(SEED),--seed "$(SEED)")

mutants: $(VENV)/.stamp ## Change the pure cores in every small way, and say which changes no test notices: make mutants [JOBS=2]
	@$(PY) -m tests.mutants --jobs "$(or $(JOBS),2)"

linearizability: $(VENV)/.stamp ## Check histories of carts and keys under faults with porcupine, 3 min: make linearizability [SECONDS=60] [SEED=7]
	@$(PY) -m devstack fetch && $(PY) -m tests.linearizability --seconds "$(or $(SECONDS),60)" --seed "$(or $(SEED),0)"

bench: $(VENV)/.stamp ## Measure throughput, latency and cost: make bench [LOADS=products,cart] [RUNS=3] [BENCH_PEER=http://127.0.0.1:8081]
	@PYTHONPATH=. $(PY) -m tests.bench.main --loads "$(LOADS)" --runs "$(or $(RUNS),3)" --peer "$(BENCH_PEER)"

bench-operator: $(VENV)/.stamp ## Measure the operator at its limits, 20 min: make bench-operator [RATE=100] [SECONDS=600] [LIVE=5000,10000]
	@PYTHONPATH=. $(PY) -m tests.bench.operator_load --rate "$(or $(RATE),100)" --seconds "$(or $(SECONDS),600)" $(if $(LIVE),--live "$(LIVE)")

bench-takeover: $(VENV)/.stamp ## Kill one of two operators that share 1,000 live Checkouts, and say who took over what: make bench-takeover [COUNT=1000]
	@PYTHONPATH=.:operator $(PY) -m tests.bench.takeover --count "$(or $(COUNT),1000)"

bench-tracing: $(VENV)/.stamp ## Measure what tracing costs at 0, 1 and 100 %, 7 min: make bench-tracing [RUNS=12] [LOADS=cart,buyers64]
	@PYTHONPATH=. $(PY) -m tests.bench.tracing --runs "$(or $(RUNS),12)" $(if $(LOADS),--loads "$(LOADS)")

budget: $(VENV)/.stamp ## Count what a read, a cart write and a purchase cost, and hold it against tests/bench/budget.toml
	@$(PY) -m devstack fetch && $(VENV)/bin/pytest tests/bench/test_budget.py $(ARGS)

bench-compare: $(VENV)/.stamp ## Compare two results of it: make bench-compare A=before.json B=after.json
	@PYTHONPATH=. $(PY) -m tests.bench.compare $(A) $(B)
