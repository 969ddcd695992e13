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
.PHONY: help install plugins reset demo test test-pythons bench dist lint clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

# uv installs in seconds what pip takes a minute for; it comes as a wheel, so nothing has to be on the machine.
$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable ".[dev]"
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

bench: $(VENV)/.compiled ## both plugins against others, side by side; 40 minutes on two quiet cores
	$(BIN)/python -m bench

test-pythons: install ## all tests, on each Python from 3.10 to 3.13 that is here
	$(BIN)/nox

dist: install ## wheel and source distribution, in dist
	$(BIN)/uv build --quiet --out-dir dist

lint: install ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove what make made
	rm -rf $(VENV) .meltano .sandbox .bench .nox dist
