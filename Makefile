# Everything goes through here; each target does its own set-up. Only make and Python 3.11 or later are needed.

PYTHON ?= python3
BIN := .venv/bin
# Kills in `make chaos`; `make test-all` makes do with the scenarios' own number.
KILLS ?= 20
SYNC := $(BIN)/uv sync --quiet --locked --inexact

.DEFAULT_GOAL := help
.PHONY: help setup web demo check check-web test test-all chaos bench docs clean

help: ## Print this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: .venv/.synced ## The virtual environment with what uv.lock says

# --inexact: uv lives in the environment it fills, and would otherwise remove itself.
.venv/.synced: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("joyn needs Python 3.11 or later: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(SYNC)
	@touch $@

.venv/.synced-interop: .venv/.synced
	$(SYNC) --group interop
	@touch $@

# npm is a script that looks for node on the path.
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --prefix web

web/node_modules/.synced: web/package.json web/package-lock.json .venv/.synced
	$(NPM) ci --silent
	@touch $@

web: src/joyn/webdist/index.html ## The web client, built into the package

src/joyn/webdist/index.html: web/node_modules/.synced web/vite.config.ts $(shell find web/src web/public web/*.html -type f 2>/dev/null)
	$(NPM) run --silent build
	@touch $@

demo: setup web ## Two operators on this machine: phones that chat across their border, a page to join them
	$(BIN)/joyn demo

check: setup ## Format, lint, strict types, import contracts
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports

check-web: web/node_modules/.synced ## The same for the web client
	$(NPM) run --silent check

test: check check-web web ## The above, and every test that needs nothing installed
	$(NPM) run --silent test
	$(BIN)/pytest -n 2 -m "not interop and not scenario"
	@echo; echo "Left out (make test-all runs them):"
	@$(BIN)/pytest --collect-only -q -m "interop or scenario" || test $$? -eq 5

test-all: check check-web web .venv/.synced-interop ## All of it: foreign clients and scenarios with real processes too
	$(NPM) run --silent test
	$(BIN)/pytest -n 2

chaos: setup ## The long kill runs
	JOYN_KILLS=$(KILLS) $(BIN)/pytest -m scenario -k kill tests/scenarios tests/interconnect

bench: setup ## The figures that are claimed
	$(BIN)/python -m bench

docs: setup ## Write docs/reference anew
	$(BIN)/python tools/reference.py
	$(BIN)/python tools/standards.py

clean: ## Remove what the targets made, the demo's data too
	rm -rf .venv demo dist web/node_modules src/joyn/webdist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
