# Two commands do it all on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
export PONTE_PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status test test-all test-localstack check fmt lint type bench layers synth deploy lock clean

help: ## What each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

setup: ## Make .venv ready (nothing to do when the locks have not changed)
	@$(PYTHON) tools/bootstrap.py

# UID counts only where it is given to make: shells have a variable of that name.
demo: setup ## A study becomes a PDF and a callback, on the embedded stack. STUDY=folder|URL takes yours
	@$(BIN)/ponte demo $(if $(STUDY),"$(STUDY)") $(if $(findstring command,$(origin UID)),--study "$(UID)")

up: setup ## Start the local stack, with the API on http://127.0.0.1:9000
	@$(BIN)/ponte up

down: setup ## End the local stack
	@$(BIN)/ponte down

status: setup ## Say what runs
	@$(BIN)/ponte status

test: setup ## All tests but the exhaustive matrices
	@$(BIN)/python -m tests -m "not exhaustive" $(ARGS)

test-all: setup ## All tests
	@$(BIN)/python -m tests $(ARGS)

test-localstack: setup ## The integration tests against AWS_ENDPOINT_URL (LocalStack: see docs/localstack.md)
	@$(BIN)/python -m tests -m stack --endpoint "$${AWS_ENDPOINT_URL:-http://127.0.0.1:4566}" $(ARGS)

check: setup lint type ## What must pass before a commit
	@$(BIN)/python -m pytest -q -x tests/unit -n 2 --no-header

fmt: setup ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: setup
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

type: setup
	@$(BIN)/mypy

bench: setup ## Measure against peers, side by side
	@$(BIN)/python -m bench $(ARGS)

layers: setup ## Build the Lambda layers for arm64 and x86_64 into build/layers
	@$(BIN)/python -m infra.layers $(ARGS)

synth: setup ## Synthesise the CDK app into cdk.out
	@$(BIN)/python -m infra.app $(ARGS)

deploy: setup layers ## Deploy to AWS with the CDK command line
	@$(BIN)/python -m infra.deploy $(ARGS)

lock: setup ## Resolve the dependencies anew
	@tools/lock.sh

clean: ## Remove all that the commands made, the virtual environment included
	@if [ -x $(BIN)/ponte ]; then $(BIN)/ponte down --quiet || true; fi
	@rm -rf .venv .tools .ponte build cdk.out* node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
