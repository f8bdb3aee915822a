# Every target does its own set-up, from a fresh clone on. `make` lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test fuzz lint format format-check types check mariadb lock clean

# Any Python from 3.11 to 3.13: `make test PYTHON=python3.12`. Without it .ci/find-python looks for one.
PYTHON ?=
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check

# What ckv runs on, and that with the tools of a developer. The demo does not wait for the second.
RUN := $(VENV)/.run
DEV := $(VENV)/.dev
FUZZ := $(VENV)/.fuzz

# `make test ARGS="-k demo -x"`
ARGS ?=

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUN) ## start a whole cluster and watch it work (embedded persistent tier)
	$(PY) ckv.py demo

test: $(DEV) mariadb ## run all tests, with real processes and a private MariaDB
	$(PY) -m pytest $(ARGS)

lint: $(DEV) ## look for mistakes
	$(PY) -m ruff check .

# Seconds that the fuzzer searches.
FUZZ_SECONDS ?= 60
fuzz: $(FUZZ) ## throw bytes at the wire, guided by coverage: make fuzz FUZZ_SECONDS=600
	$(PY) -m tests.fuzz.wire .fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=20000 -rss_limit_mb=1024

format: $(DEV) ## format the code, and fix what the linter can fix
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

format-check: $(DEV) ## fail if `make format` would change something
	$(PY) -m ruff format --check .

types: $(DEV) ## check the types
	$(PY) -m mypy

check: lint format-check types test ## all of these: what has to pass before a commit

mariadb: ## install MariaDB's server programs where they are missing (Debian, as root)
	@.ci/need-mariadb

# UPGRADE=--upgrade takes the newest versions; without it a version changes only where pyproject.toml asks for it.
UPGRADE ?=
COMPILE = $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(UPGRADE)
lock: $(PY) ## pin the versions that pyproject.toml allows; newest ones: make lock UPGRADE=--upgrade
	$(PIP) install uv
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) pyproject.toml --group dev --constraints requirements.lock --output-file requirements-dev.lock
	$(COMPILE) --group fuzz --output-file requirements-fuzz.lock

clean: ## remove everything that make made
	rm -rf $(VENV) .fuzz dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@python="$(PYTHON)" && python="$${python:-$$(.ci/find-python)}" && echo "python: $$python" && \
		"$$python" -m venv --clear $(VENV)

$(RUN): requirements.lock | $(PY)
	$(PIP) install --require-hashes --requirement $<
	@touch $@

$(DEV): requirements-dev.lock | $(PY)
	$(PIP) install --require-hashes --requirement $<
	@touch $@

$(FUZZ): requirements-fuzz.lock $(DEV)
	$(PIP) install --require-hashes --requirement $<
	@touch $@
