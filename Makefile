# edgechess: every verb a developer or a user needs. `make help` explains each.
SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
ARGS  ?=
SEED  ?= 1
# a file stays with one worker, so that what its tests share is made once; the longest files come first (tests/conftest.py)
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder
PROJECTS := $(wildcard pyproject.toml */pyproject.toml greengrass-components/*/pyproject.toml)

.DEFAULT_GOAL := help
.PHONY: help setup play test fast check browser sim trials bench clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.ready  ## make the virtual environment, and install Stockfish and mosquitto where that is possible

$(VENV)/.ready: constraints.txt scripts/setup scripts/system-packages $(PROJECTS)
	@scripts/setup
	@touch $@

play: setup  ## play a whole match on the software table, in front of your eyes (ARGS="--seed 7 --white random" …)
	@$(BIN)/edgechess play $(ARGS)

$(VENV)/.torch: $(VENV)/.ready scripts/torch
	@scripts/torch
	@touch $@

browser:
	@scripts/system-packages chromium || echo 'going on without: the browser tests skip' >&2

test: setup  ## everything that must pass: style, types, the fast suite, whole processes and short simulations
	@$(MAKE) --no-print-directory --jobs=2 check $(VENV)/.torch browser
	@$(PYTEST) -n 3 $(ARGS)  # for two cores: whole processes wait a lot

fast: setup  ## the fast suite only: no whole processes, under a minute
	@$(PYTEST) -n 2 -m "not slow" $(ARGS)

check: setup  ## ruff and mypy --strict
	@$(BIN)/ruff format --check --quiet . || { echo 'not formatted: run $(BIN)/ruff format .'; exit 1; }
	@$(BIN)/ruff check --no-cache --quiet .
	@$(BIN)/mypy --no-error-summary */src greengrass-components/*/src

sim: setup  ## whole games under the virtual clock with faults: 200 nominal, 20 harsh (SEED=1)
	@$(BIN)/edgechess sim --seed $(SEED) --games 200 --faults nominal $(ARGS)
	@$(BIN)/edgechess sim --seed $(SEED) --games 20 --faults harsh $(ARGS)

GAMES ?= $(firstword $(wildcard ../shared/data/players/Carlsen.pgn.zst))

trials: setup  ## over 20,000 moves of every class with both kinds of arm and a noise sweep: docs/reliability.md (hours; Ctrl-C and again)
	@$(BIN)/edgechess trials --seed $(SEED) --sweep 200 $(if $(GAMES),--games $(GAMES)) --out docs/reliability.md $(ARGS)

bench: setup  ## measured figures: manager overhead per move, recognition latency, as ratios inside one run
	@$(BIN)/edgechess bench $(ARGS)

clean:  ## remove the virtual environment, caches and results (journals of matches stay)
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis bench-results
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
