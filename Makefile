# Two commands are all the set-up there is: `make demo` and `make test`. Everything else builds on the same .venv.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# pdeseray.toml and PDESERAY_* say where the state is: asked once, by the targets that need it
HOME_FOLDER = $(shell $(BIN)/python -c 'from pipelines.settings import load_settings; print(load_settings().home_url.path)')

export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export NO_ALBUMENTATIONS_UPDATE := 1
export RAY_USAGE_STATS_ENABLED := 0
export GX_ANALYTICS_ENABLED := false
export HF_HUB_DISABLE_TELEMETRY := 1
export DAGSTER_DISABLE_TELEMETRY := 1

.PHONY: FORCE help demo ui test test-all contracts lint bench scaling nights learning clean environment
.DEFAULT_GOAL := help

help: ## what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) .env ## the whole chain on phantoms, minutes on two cores, and a summary
	@$(BIN)/pdeseray demo

ui: $(READY) .env ## Dagster's pages with the nightly schedule running, on loopback
	@set -a; . ./.env; set +a; $(BIN)/dagster dev -h 127.0.0.1 -p 3000

test: $(READY) ## tests that are not slow
	$(BIN)/pytest -m "not slow"

test-all: $(READY) ## every test; those that need a service or a GPU skip with the reason
	$(BIN)/pytest

contracts: $(READY) ## every published table against its data contract; the verdicts as a page, too
	@home='$(HOME_FOLDER)'; test -n "$$home" || exit 2; \
		PDESERAY_HOME="$$home" $(BIN)/python -m data_contracts --page "$$home/reports/contracts.html" && \
		echo "as a page: $$home/reports/contracts.html"

lint: $(READY) ## ruff (every rule, reasons for exceptions in pyproject.toml) and mypy --strict
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY) ## every benchmark, a quarter of an hour: writes the tables of README and docs/benchmarks.md
	@$(BIN)/python benchmarks/everything.py

scaling: $(READY) ## how seconds and memory grow with the number of radiographs: docs/scaling.md anew, up to 45 minutes
	$(BIN)/python benchmarks/scaling.py

nights: $(READY) ## what a night costs on which one film in a hundred is new, up to 15 minutes
	$(BIN)/python benchmarks/nights.py

learning: $(READY) ## what an hour's training reaches on phantoms at 256 px, with its curves in docs/images
	$(BIN)/python benchmarks/learning.py --document docs/images

clean: $(READY) ## forget the state (tables, models, runs), keep the environment
	@home='$(HOME_FOLDER)'; test -n "$$home" || exit 2; echo "rm -rf $$home"; rm -rf "$$home" .env

environment: $(READY) ## only build .venv

# albumentations and the text reader want two builds of one OpenCV: only the one without a display stays
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; found none on PATH"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
		{ echo "Python 3.11 or 3.12 is needed; found $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11"; exit 2; }
	@echo "Building $(VENV) (about 3 minutes, 7 GB, once) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[ray,pacs,pixeltext,openvino,dev]" -c constraints.txt
	$(BIN)/pip uninstall --quiet --yes opencv-python
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall -c constraints.txt opencv-python-headless
	@touch $(READY)

# plain `dagster dev` finds the same instance through this file; written anew each time, since settings move homes
.env: $(READY) FORCE
	@home='$(HOME_FOLDER)'; test -n "$$home" || exit 2; mkdir -p "$$home/dagster"; \
		cp pipelines/orchestration/instance/dagster.yaml "$$home/dagster/dagster.yaml"; \
		printf 'DAGSTER_HOME=%s\n' "$$home/dagster" > .env

FORCE:
