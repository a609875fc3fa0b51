# The targets describe themselves: run `make`.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

BIN := .venv/bin
ARGS ?=
# The first Python that is new enough and can make virtual environments.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v "$$name" && break; done)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

# An environment is good as long as the locks, the project file, the place and this recipe are the same.
LOCKS := requirements.lock requirements-build.lock requirements-dev.lock pyproject.toml
KEY := $(shell { cat $(LOCKS) Makefile; pwd; } | cksum | cut -d' ' -f1)
RUN := .venv/.run-$(KEY)
DEV := .venv/.dev-$(KEY)
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url

.PHONY: help
help: ## Print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  ARGS=\"...\" hands arguments on: make demo ARGS=--help, make test ARGS=tests/unit"

.PHONY: demo
demo: $(RUN) ## Run the demo: PostgreSQL, receivers and the daemon on this machine
	@$(BIN)/hms-sync demo $(ARGS)

.PHONY: install
install: $(RUN) ## Make .venv with hms-sync in it

.PHONY: dev
dev: $(DEV) ## Make .venv with hms-sync and the tools of developers in it

.PHONY: test
test: $(DEV) ## Run all tests on a PostgreSQL of their own
	@$(BIN)/pytest $(if $(ARGS),$(ARGS),--quiet --numprocesses=3 --dist=loadfile --no-loadscope-reorder)

.PHONY: chaos
chaos: $(DEV) ## Kill, stop and cut everything for minutes, then count what arrived (ARGS=--long: by the ten thousand)
	@$(BIN)/python -m tests.chaos $(ARGS)

.PHONY: mutants
mutants: $(DEV) ## Take out each protection once and show the named test that goes red
	@$(BIN)/python -m tests.mutants $(ARGS)

.PHONY: bench
bench: $(DEV) ## Measure speed as ratios to references of the same run (ARGS="--quick", "--only drain", "--picture FILE")
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: lint
lint: $(DEV) ## Check style, format and the layers of the house
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

.PHONY: types
types: $(DEV) ## Check the types
	@$(BIN)/mypy

.PHONY: lock
lock: ## Renew the lock files (needs uv; LOCK_ARGS=--upgrade for newer versions)
	@$(COMPILE) $(LOCK_ARGS) pyproject.toml --extra demo --output-file requirements.lock
	@$(COMPILE) $(LOCK_ARGS) --group build --output-file requirements-build.lock
	@$(COMPILE) $(LOCK_ARGS) pyproject.toml --extra demo --group dev --constraint requirements.lock \
		--constraint requirements-build.lock --output-file requirements-dev.lock

.PHONY: image
image: ## Build the container image hms-sync (needs Docker)
	@docker build --tag hms-sync .

.PHONY: clean
clean: ## Remove the environment and what tools left behind (no data)
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN):
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer with venv here (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "making .venv with $(PYTHON), once"
	@"$(PYTHON)" -m venv --clear .venv
	@$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --require-hashes -r requirements-build.lock
	@$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

$(DEV): $(RUN)
	@echo "adding the tools of developers to .venv, once"
	@$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@
