# Two commands do everything: `make run` shows the main job, `make test` proves it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help run test quick lint format docs bench clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

run: $(STAMP) ## set up and run the main job on the embedded default, until Ctrl-C
	$(BIN)/modelctl demo

test: $(STAMP) ## set up and run every test
	$(BIN)/python -m tests.support.engines
	$(BIN)/python -m pytest -n auto --dist worksteal

quick: $(STAMP) ## the tests that take no real engines or supervisors
	$(BIN)/python -m pytest -m 'not slow' -n auto

lint: $(STAMP) ## style, types and layers
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(STAMP) ## put the code into shape
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

docs: $(STAMP) ## write what docs/ derives from the code
	$(BIN)/python docs/generate.py

bench: $(STAMP) ## measure, and print tables with medians
	$(BIN)/python benchmarks/run.py

clean: ## remove what the commands above made
	rm -rf $(VENV) .demo dist build .pytest_cache .mypy_cache .ruff_cache
