# etl-ray. `make` lists the targets. Needs Python 3.11 to 3.13, git and make; everything else goes into .venv.

VENV := .venv
BIN := $(VENV)/bin
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# A name that is found may still be a shim of a version that is not installed, so each candidate is run.
ifeq ($(origin PYTHON), undefined)
PYTHON := $(shell for python in python3.11 python3.12 python3.13 python3; do \
	"$$python" -c '$(FITS)' >/dev/null 2>&1 && { echo "$$python"; exit; }; done; echo python3)
endif

PIP := -m pip -qq --disable-pip-version-check --no-input
BENCH_DIR := bench-results
# As many processes as there are cores; tests/conftest.py says which tests keep together.
PYTEST := -m pytest --numprocesses=auto --maxprocesses=8

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test test-slow check format bench constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.installed ## install etl-ray into .venv

install-dev: $(VENV)/.installed-dev ## install etl-ray and the development tools into .venv

demo: $(VENV)/.installed ## make sample segments, run the job on them, show the tables
	@echo "==> running the demo"
	@$(BIN)/etl-ray demo

test: $(VENV)/.installed-dev ## run the tests (under 10 minutes)
	@echo "==> running the tests"
	@$(BIN)/python $(PYTEST)

test-slow: $(VENV)/.installed-dev ## run the tests that start clusters or take minutes (under 45 minutes)
	@echo "==> running the slow tests"
	@$(BIN)/python $(PYTEST) -m slow --timeout=1800

check: $(VENV)/.installed-dev ## format, lint, types, import contracts, tests: what CI runs
	@echo "==> checking the format"
	@$(BIN)/ruff format --check
	@echo "==> linting"
	@$(BIN)/ruff check
	@echo "==> checking the types"
	@$(BIN)/mypy
	@echo "==> checking the import contracts"
	@$(BIN)/lint-imports --no-logo
	@echo "==> running the tests"
	@$(BIN)/python $(PYTEST)

format: $(VENV)/.installed-dev ## format the code and repair what the linter can
	@echo "==> formatting"
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

bench: $(VENV)/.installed-dev ## measure against all peers, as Markdown and JSON in bench-results/ (under 30 minutes)
	@echo "==> measuring; ETL_RAY_REAL_FLOW=DIR adds a recording, ARGS=--quick takes minutes"
	@$(BIN)/python -m tests.benchmarks --peers-venv $(BENCH_DIR)/peers --json $(BENCH_DIR)/bench.json \
		--markdown $(BENCH_DIR)/bench.md $(ARGS)

constraints: ## resolve all dependencies anew and pin them in constraints.txt
	@echo "==> resolving with $$($(PYTHON) --version)"
	@rm -rf build/constraints
	@$(PYTHON) -m venv build/constraints
	@build/constraints/bin/python $(PIP) install -e '.[dev,s3,bench]'
	@build/constraints/bin/python $(PIP) freeze --exclude-editable \
		| awk -F '==' 'NF == 2 && $$1 !~ /[ @]/ { gsub(/[-_.]+/, "-", $$1); print tolower($$1) "==" $$2 }' \
		| LC_ALL=C sort > build/constraints.txt
	@mv build/constraints.txt constraints.txt
	@echo "pinned $$(wc -l < constraints.txt) packages; now run: make check"

clean: ## remove .venv, caches, the demo and everything else that make made
	@echo "==> removing what make made"
	@rm -rf $(VENV) $(BENCH_DIR) build dist demo *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find etl_ray jobs tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml constraints.txt etl_ray/version.py | $(BIN)/python
	@echo "==> installing etl-ray and what it needs into $(VENV) (a minute or two)"
	@$(BIN)/python $(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt etl_ray/version.py | $(BIN)/python
	@echo "==> installing etl-ray, what it needs and the development tools into $(VENV) (a minute or two)"
	@$(BIN)/python $(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@$(PYTHON) -c '$(FITS)' 2>/dev/null || { \
		echo "etl-ray needs Python 3.11 to 3.13, but $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not there)." >&2; \
		echo "Name one that fits: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "==> making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
