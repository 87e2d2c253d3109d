# Every target sets up what it needs: a virtual environment in .venv, hashed installs, and Kafka's jars in .kafka.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
UV := 0.13.9
PIP_AUDIT := 2.10.1
SOURCES := app tests

.DEFAULT_GOAL := help
.PHONY: help demo test format lint types unit docs-check bench bench-footprint bench-recovery bench-replay bench-ring \
	chaos pipelining soak soak-family slow fuzz lock documents sbom audit wheel clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.venv/runtime: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed; name one: make PYTHON=python3.11 …' >&2; exit 1; }
	@echo 'installing the runtime into .venv' >&2
	@$(PYTHON) -m venv .venv
	@$(PIP) --require-hashes --no-deps -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/tools: .venv/runtime tests/requirements.lock
	@echo 'installing the test tools into .venv' >&2
	@$(PIP) --require-hashes --no-deps -r tests/requirements.lock
	@touch $@

demo: .venv/runtime  ## Play the recorded attack on an embedded broker (BROKER=kafka: on a real Kafka, needs Java)
ifeq ($(BROKER),kafka)
	@$(BIN)/python -m tests.broker.kafka -- $(BIN)/eximwatch demo --external
else
	@$(BIN)/eximwatch demo
endif

test: lint types unit  ## Everything that must hold: format, lint, types, unit, property, broker and docs tests

lint: .venv/tools  ## Format check, ruff, spelling
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/codespell $(SOURCES) schemas deploy README.md CHANGELOG.md

types: .venv/tools  ## mypy, strict
	@$(BIN)/mypy

unit: .venv/tools  ## All tests but slow ones and benchmarks
	@$(BIN)/pytest -n 3 --dist loadgroup

docs-check: .venv/tools  ## Run what the README shows
	@$(BIN)/pytest tests/test_readme.py

slow: .venv/tools  ## Long property tests
	@$(BIN)/pytest -m slow

fuzz: .venv/tools  ## A million mutated records through all that judges them (RECORDS=…, SEED=…, FIRST=…)
	@$(BIN)/python -m tests.fuzz

bench: .venv/tools  ## The worker against its peers and the floor, on a real Kafka (PEERS=all, QUICK=1, see tests/bench)
	@$(BIN)/python -m tests.bench

soak: .venv/tools  ## Half an hour under a steady stream: memory and lag (MINUTES, RATE, PERCENT)
	@$(BIN)/python -m tests.bench.soak

soak-family: .venv/tools  ## A thousand busy mail servers for ten minutes: memory, lag, disk (MINUTES, RATE, HOSTS, SLOTS)
	@$(BIN)/python -m tests.bench.soak_family

bench-ring: .venv/tools  ## Three turns of each of a thousand hosts' rings: memory and disk (HOSTS, SLOTS, TURNS)
	@$(BIN)/python -m tests.bench.ring

bench-recovery: .venv/tools  ## How fast the table is rebuilt, beside stock Faust, and how fast a full one starts
	@$(BIN)/python -m tests.bench.recovery

bench-footprint: .venv/tools  ## Bytes of terms, topics and an idle worker, for deploy/SIZING.md (TERMS, PARTITIONS, EVENTS)
	@$(BIN)/python -m tests.bench.footprint

bench-replay: .venv/tools  ## How fast replay goes through a file
	@$(BIN)/pytest -m bench -s -q

chaos: .venv/tools  ## Faults of all kinds against workers on a real Kafka (SEED=, FAULTS=, KINDS='kill -9,SIGTERM', BESIDE=)
	@SEED='$(SEED)' FAULTS='$(FAULTS)' KINDS='$(KINDS)' BESIDE='$(BESIDE)' $(BIN)/python -m tests.chaos

pipelining: .venv/tools  ## Known matches a second while every answer of the broker is late
	@$(BIN)/python -m tests.chaos.pipelining

format: .venv/tools  ## Format the code
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

lock: .venv/runtime  ## Pin all dependencies again, with hashes
	@$(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet uv==$(UV)
	@build/uv/bin/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-emit-index-url \
		--no-emit-find-links --universal --python-version 3.11 --extra build pyproject.toml -o requirements.lock
	@build/uv/bin/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-emit-index-url \
		--no-emit-find-links --universal --python-version 3.11 tests/requirements.in -o tests/requirements.lock

documents: .venv/tools  ## Tables and copies that are made of declarations: settings, metrics, log fields, chart, sizes
	@$(BIN)/python -m tests.test_readme
	@$(BIN)/python -m tests.deploy.generated_tables --write
	@$(BIN)/python -m tests.deploy.chart
	@$(BIN)/python -m tests.deploy.sizing_document --write

sbom: .venv/tools  ## The bill of materials and the list of licences, made anew from the lock
	@$(BIN)/python -m tests.supply.licences --write
	@$(BIN)/python -m tests.supply.sbom --write

audit:  ## Known vulnerabilities of what is locked; needs an advisory service (ADVISORIES=pypi or osv)
	@$(PYTHON) -m venv build/audit && build/audit/bin/pip install --quiet pip-audit==$(PIP_AUDIT)
	@build/audit/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
		--vulnerability-service $(or $(ADVISORIES),pypi) -r requirements.lock

wheel: .venv/runtime  ## Build the wheel into dist
	@$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation -w dist .

clean:  ## Remove everything that make made
	rm -rf .venv .kafka .tools build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
