# The two commands that a newcomer needs are `make demo` and `make test`; both make .venv first, once.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test test-all check format docs bench loadgen lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

.venv/.ready: requirements/dev.lock pyproject.toml scripts/setup
	@PYTHON=$(PYTHON) scripts/setup

demo: .venv/.ready  ## both modes on real input: even/odd, then file types of 2,000 real files
	@$(BIN)/python examples/demo.py

test: .venv/.ready  ## style, types and the tests of the core and the light extras
	@scripts/check
	@scripts/test

test-all: .venv/.ready  ## the site, and the tests that need heavy packages, which this installs
	@scripts/docs
	@scripts/test-all

check: .venv/.ready  ## style and types only
	@scripts/check

format: .venv/.ready  ## put the code into the house style
	@$(BIN)/ruff check --fix-only --quiet . && $(BIN)/ruff format --quiet .

docs: .venv/.ready  ## the pages of docs/ as a site, in site/
	@scripts/docs

bench: .venv/.ready  ## measure both modes, and what holds under load; writes docs/benchmarks.md (50 minutes)
	@scripts/bench

loadgen: .venv/.ready  ## MLPerf's scenarios, unofficial; writes docs/benchmarks.md (10 minutes)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements/bench.lock
	@$(BIN)/python -m benchmarks.loadgen
	@$(BIN)/python -m scripts.references

lock: .venv/.ready  ## pin the newest versions of everything the project uses
	@scripts/lock

clean:  ## remove what the other targets made
	rm -rf .venv .demo .cache build dist site
