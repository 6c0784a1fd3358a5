# Everything runs in a virtual environment in this checkout, made on first use.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --disable-pip-version-check
# The browser node in web/; POTLUCK_WEB=require makes what it lacks an error, POTLUCK_WEB=skip leaves it out.
WEB := $(BIN)/python -m scripts.web
# PyTorch's CPU index, say; empty: wherever pip takes torch from.
TORCH_INDEX ?=

.DEFAULT_GOAL := help
.PHONY: help demo serve web test test-fast lint bench studies conformance image clean

help:  ## Show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/installed  ## Train one model on four nodes, here, now
	@$(WEB) build
	$(BIN)/potluck demo $(ARGS)

serve: .venv/installed  ## Start a server on port 7860
	@$(WEB) build
	$(BIN)/potluck serve $(ARGS)

web: .venv/installed-dev  ## Build the page that trains in a browser tab, if its sources have changed
	POTLUCK_WEB=require $(WEB) build

test: .venv/installed-dev  ## Run all tests
	@scripts/install_nginx.sh
	@scripts/install_chromium.sh
	$(WEB) check build test
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not e2e"
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m e2e

test-fast: .venv/installed-dev  ## Run the tests that start no processes and take no time
	$(WEB) check
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not e2e"

lint: .venv/installed-dev  ## Check style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(WEB) check

bench: .venv/installed-dev  ## Run the benchmarks, quickly (ARGS=--full: the figures that count)
	$(BIN)/python -m benchmarks $(or $(ARGS),--quick)

studies: .venv/installed-dev  ## Run the learning studies, up to half an hour each (ARGS=--quick: do they work)
	$(BIN)/python -m benchmarks --studies $(ARGS)

conformance: .venv/installed-dev  ## Run the official MCP suites and print their verdict (ARGS=--write keeps it in docs/)
	$(BIN)/python -m benchmarks.conformance $(ARGS)

image: .venv/installed-dev  ## Do what the Dockerfile says, without a container engine, and start what it makes
	TORCH_INDEX=$(TORCH_INDEX) $(BIN)/python -m scripts.image $(ARGS)

clean:  ## Remove the virtual environment and what the build made
	rm -rf .venv web/node_modules mcp_server/static

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Potluck needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	@echo 'Making .venv: about 1.5 GB and a few minutes with the CPU build of torch, once.'
	$(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(PIP) 'torch<2.14' --index-url $(TORCH_INDEX))
	$(PIP) --editable '.[space]'
	@touch $@

.venv/installed-dev: pyproject.toml .venv/installed
	$(PIP) --editable '.[dev]'
	@touch $@
