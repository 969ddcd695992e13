# Everything needs only Python 3.10 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEMBERS ?= 100000
# Most tests wait for a server or a process for half of their time, so that two for each core fit.
TEST_PROCESSES ?= $(shell expr 2 \* $$(getconf _NPROCESSORS_ONLN))
PIPELINE := tap-lytics-audience target-cordial

export PATH := $(CURDIR)/$(BIN):$(PATH)
export MELTANO_CLI_LOG_LEVEL ?= info

.DEFAULT_GOAL := help
.PHONY: help install plugins reset demo test test-pythons audit fleet bench dist lint clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

# uv installs in seconds what pip takes a minute for; it comes as a wheel, so nothing has to be on the machine. All versions are those of uv.lock.
$(VENV)/.installed: pyproject.toml uv.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.8"
	@$(BIN)/uv sync --quiet --locked --inexact --all-extras --python $(BIN)/python
	@touch $@

install: $(VENV)/.installed ## the environment, in .venv

# The tests start the plugins thousands of times. Where Python is told to keep no bytecode, each start would compile all it imports.
# Packages may ship files for other versions of Python: what does not compile is not needed, so no failure counts.
$(VENV)/.compiled: $(VENV)/.installed
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib tap_lytics_audience target_cordial lytics_to_cordial sandbox >/dev/null || true
	@touch $@

.meltano/.installed: $(VENV)/.installed meltano.yml
	@meltano --log-level=warning install
	@touch $@

plugins: .meltano/.installed ## both plugins, each in an environment of its own, as Meltano wants them

reset: plugins ## a sandbox as new: its data, ledger, rejects and state are forgotten
	@python -m sandbox down >/dev/null
	@rm -rf .sandbox ledger/sandbox rejects/sandbox audits/sandbox
	@meltano --log-level=error state clear --force "sandbox:tap-lytics-audience-to-target-cordial" >/dev/null 2>&1 || true

demo: reset ## a sync from an audience of made-up people, and the proof that the list equals it
	python -m sandbox up --audience "VIP Customers=$(MEMBERS)"
	@trap 'python -m sandbox down' EXIT; set -ex; meltano run lytics-to-cordial-audit; python -m sandbox verify

test: $(VENV)/.compiled ## all tests
	$(BIN)/python -m pytest -n $(TEST_PROCESSES)

fleet: $(VENV)/.compiled ## Airflow and Dagster run twelve audiences while workers are killed; installs both elsewhere; a quarter of an hour
	FLEET=1 $(BIN)/python -m pytest --timeout=5400 tests/fleet

bench: $(VENV)/.compiled ## both plugins against others, side by side; 40 minutes on two quiet cores
	$(BIN)/python -m bench

test-pythons: install ## all tests, on each Python from 3.10 to 3.14 that is here; `nox --list` has other sets of dependencies
	$(BIN)/nox

dist: install ## wheel and source distribution, in dist: built, checked, and tried as a user gets them
	@rm -rf dist
	$(BIN)/uv build --quiet --out-dir dist
	$(BIN)/twine check --strict dist/*
	DIST=dist $(BIN)/python -m pytest tests/release

lint: install ## style, types, spelling, workflows, image, manifests, and that the lock file is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/uv lock --quiet --check
	$(BIN)/typos
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.meltano meltano.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/hadolint Dockerfile
	$(BIN)/kubernetes-validate --quiet --strict orchestrate/kubernetes/*.yaml
	$(BIN)/zizmor --quiet --offline --pedantic .github

audit: install ## whether a dependency has a hole that is published; asks osv.dev
	$(BIN)/uv audit --locked

clean: ## remove what make made
	rm -rf $(VENV) .meltano .sandbox .bench .nox dist
