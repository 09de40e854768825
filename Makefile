# The commands for working on this project. `make` lists them.

PYTHON ?= python3
VENV := .venv
UV := $(shell command -v uv || echo .uv/bin/uv)
READY := $(VENV)/.ready
# Python compiles a package when it is first imported, unless it may not write that down, as in many containers.
COMPILE := $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)

# Tests run in several processes that share the cores, so each process has one thread.
ONE_BY_ONE := OMP_NUM_THREADS=1 python -m pytest
PYTEST := $(ONE_BY_ONE) --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
LINT := ruff check && ruff format --check && mypy

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export UV_PYTHON_DOWNLOADS := never
export DVC_NO_ANALYTICS := 1

.DEFAULT_GOAL := help
.PHONY: help setup peers demo check test team-test repro app docs ui lock format clean

help: ## List what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv from requirements.lock

# Its programs begin with this folder's path, so in a project that was moved or copied it is made anew.
ifneq ($(shell cat $(READY) 2> /dev/null),$(shell pwd -P))
$(READY): elsewhere
endif
.PHONY: elsewhere

$(READY): requirements.lock $(filter .uv/bin/uv,$(UV))
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else f"{sys.executable} is Python {sys.version.split()[0]}; Python 3.11 to 3.13 is needed: make PYTHON=python3.12 ...")'
	@if [ -e $@ ] && [ "$$(cat $@)" != "$$(pwd -P)" ]; then rm -rf $(VENV); fi
	$(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	$(UV) pip sync --python $(VENV) --require-hashes $(COMPILE) requirements.lock
	$(UV) pip install --python $(VENV) --quiet --no-deps --no-build-isolation --editable .
	@pwd -P > $@

.uv/bin/uv: requirements-uv.lock
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --require-hashes --only-binary :all: --requirement requirements-uv.lock
	@touch $@

peers: $(READY) requirements-peers.lock ## Make .venv-peers, with the training engines that benchmarks compare with
	$(UV) venv --quiet --allow-existing --python $(VENV)/bin/python .venv-peers
	$(UV) pip sync --python .venv-peers --require-hashes $(COMPILE) requirements-peers.lock
	$(UV) pip install --python .venv-peers --quiet --no-deps --no-build-isolation --editable .

demo: $(READY) ## Run the whole pipeline on synthetic lesions, in .demo
	dermascreen demo

check: $(READY) ## Run lint, types and the quick tests, in about two minutes
	$(LINT)
	$(PYTEST) -m "not slow" --durations 0 --durations-min 5

test: $(READY) ## Run lint, types and all tests but those of a team's server
	$(LINT)
	$(PYTEST) -m "not team"

team-test: $(READY) ## Run the tests of a team's server, which need PostgreSQL and an SSH server (docs/how-to/team-server.md)
	$(ONE_BY_ONE) -m team

repro: $(READY) ## Run the pipeline on the real data, as far as it is out of date (docs/how-to/kaggle.md)
	dvc repro

app: $(READY) ## Open the page that predicts photographs, on this machine alone
	dermascreen app

docs: $(READY) ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

ui: $(READY) ## Show the runs in MLflow
	dermascreen ui

lock: $(filter .uv/bin/uv,$(UV)) ## Resolve the dependencies in pyproject.toml again, into requirements*.lock
	$(UV) pip compile pyproject.toml --extra team --group dev --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock
	$(UV) pip compile pyproject.toml --extra team --group dev --group peers --constraint requirements.lock --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements-peers.lock
	echo uv | $(UV) pip compile - --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements-uv.lock

format: $(READY) ## Format the code, and fix what ruff can fix
	ruff check --fix
	ruff format

clean: ## Remove the environment, the demo and all caches; keep data, models, runs and metrics
	rm -rf $(VENV) .venv-peers .uv .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis dvc_plots
	find src stages tests -name __pycache__ -type d -prune -exec rm -rf {} +
