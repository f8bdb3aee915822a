# Every target does its own set-up, from a fresh clone on. `make` lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo ready test simulate test-mutations test-mysql test-clients test-redis incidents fuzz fuzz-all fuzz-core fuzz-guided lint format format-check types check mariadb zookeeper bench bench-page bench-steps bench-looking core-check build test-binary test-compiled image image-test man docs recording dist lock clean

# Any Python from 3.11 to 3.13: `make test PYTHON=python3.12`. Without it .ci/find-python looks for one.
PYTHON ?=
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check

# What ckv runs on, and that with the tools of a developer. The demo does not wait for the second.
RUN := $(VENV)/.run
CORE := $(VENV)/.core
DEV := $(VENV)/.dev
FUZZ := $(VENV)/.fuzz
DOCS := $(VENV)/.docs
CLIENTS := $(VENV)/.clients
UPSTREAM := $(VENV)/.redis-tests

# ckv is measured on Debian's own Python where that is there: it was built with profiles, which many others are not.
BENCH_VENV := .venv-bench
BENCH_PY := $(BENCH_VENV)/bin/python
BENCH := $(BENCH_VENV)/.bench

# The native program is made with a Python of its own choice, and so is not bound to that of the tests.
BUILD_VENV := build/.venv
BUILD_PY := $(BUILD_VENV)/bin/python
BUILD := $(BUILD_VENV)/.build

# `make test ARGS="-k demo -x"`. Tests run in so many processes at a time; a debugger wants `WORKERS=0 ARGS=--pdb`.
ARGS ?=
WORKERS ?= auto
PYTEST = $(PY) -m pytest --numprocesses=$(WORKERS) --dist=worksteal

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(CORE) ## install what ckv runs on into .venv, and compile its core where a compiler is or can be installed

demo: $(CORE) ## start a whole cluster and watch it work (embedded persistent tier)
	$(PY) ckv.py demo

test: $(DEV) $(CORE) mariadb zookeeper ## run the tests of the source, with real processes, a private MariaDB and ZooKeeper
	$(PYTEST) --ignore=tests/clients --ignore=tests/upstream/test_suites.py $(ARGS)

# `make simulate ARGS="--count 1000"`. All processors; the tests of a usual run have some of the schedules.
simulate: $(DEV) ## run 20,000 schedules of a cluster in which whatever can happen does, and judge what clients saw
	@$(PY) -m tests.cluster.simulate $(ARGS)

# The usual run makes about a quarter of them, others with each commit.
test-mutations: $(DEV) $(CORE) ## break the store, the cluster and the compiled core in every way that is on the lists, and see it caught
	@ALL_MUTATIONS=1 $(PYTEST) tests/core/test_mutations.py tests/cluster/test_mutations.py \
		tests/store/test_mutations.py $(ARGS)

# The newest MySQL, Valkey, Redis and memcached. The folder with them is made once.
NEWEST ?= .newest
# What has to do with the persistent tier, on a MySQL of today in the place of MariaDB. What is about SQLite is left out.
SCENARIOS := tests/failures/test_scenarios.py
MYSQL_TESTS ?= tests/test_support.py tests/persistent tests/system/test_transcript.py tests/system/test_modes.py \
	tests/system/test_values.py \
	$(SCENARIOS)::test_the_secondary_is_killed $(SCENARIOS)::test_the_database_is_killed \
	$(SCENARIOS)::test_the_secondary_and_the_database_are_killed \
	$(SCENARIOS)::test_connections_are_cut_in_the_middle_of_a_commit \
	$(SCENARIOS)::test_the_secondary_is_killed_and_its_commit_arrives_late \
	tests/failures/test_lost_nodes.py::test_a_node_stands_still_for_twice_its_lease
test-mysql: $(DEV) $(CORE) zookeeper ## run the tests of the persistent tier on the newest MySQL (Debian, as root: .ci/newest-servers)
	@.ci/newest-servers $(NEWEST)
	@TEST_MYSQL=$(NEWEST) $(PYTEST) -k "not sqlite" $(MYSQL_TESTS) $(ARGS)

# All tests of a file in one process, for what a file starts.
test-clients: $(CLIENTS) $(CORE) mariadb ## run clients of Redis, and what is built on them, against a cluster
	$(PYTEST) --dist=loadfile $(or $(ARGS),tests/clients)

# `make test-redis UPDATE=1` writes the lists of what passes and what does not.
UPDATE ?=
test-redis: $(UPSTREAM) $(DEV) $(CORE) mariadb ## run the tests of Redis and Valkey themselves, out of Debian's sources
	@UPSTREAM_TESTS=$(VENV)/redis-tests UPDATE=$(UPDATE) $(PYTEST) $(if $(UPDATE),--numprocesses=0) tests/upstream $(ARGS)

# Needs Chromium for the pictures, and promtool, which it gets out of Debian's package.
INCIDENTS := $(VENV)/incidents
incidents: $(DEV) $(CORE) mariadb ## begin eleven incidents, see what is said of each, and write docs/incidents.md
	@.ci/promtool $(VENV)/promtool
	@rm -rf $(INCIDENTS) && mkdir -p $(INCIDENTS)
	@PATH="$(CURDIR)/$(VENV)/promtool:$$PATH" INCIDENTS=$(INCIDENTS) $(PYTEST) tests/incidents $(ARGS)
	@$(PY) -m tests.incidents.report $(INCIDENTS)

lint: $(DEV) ## look for mistakes
	$(PY) -m ruff check .

# Seconds that a fuzzer searches, and where: `wire` is msgpack-RPC, `resp` the protocol of Redis, `login` what comes before a
# login in both, `users` the file of users, and `tls` handshakes and records, of clients and of servers.
FUZZ_SECONDS ?= 60
FUZZ_TARGET ?= wire
FUZZ_TARGETS := wire resp login users tls
FUZZ_ARGS ?=
# Processes at a time.
FUZZ_JOBS ?= 1
fuzz: fuzz-at-$(FUZZ_TARGET) ## throw bytes at the wire, guided by coverage: make fuzz FUZZ_SECONDS=600 FUZZ_TARGET=resp

fuzz-at-%: $(FUZZ) $(CORE)
	$(PY) -m tests.fuzz.$* .fuzz/$* -max_total_time=$(FUZZ_SECONDS) -max_len=20000 -rss_limit_mb=1024 $(FUZZ_ARGS)

# Silent but for what is found, and how many inputs there were.
fuzz-all: $(FUZZ) $(CORE) ## the same at each of its targets, for so many seconds each, FUZZ_JOBS at a time
	@$(MAKE) --no-print-directory --keep-going --jobs=$(FUZZ_JOBS) --output-sync \
		FUZZ_ARGS="-verbosity=0 -print_final_stats=1" $(FUZZ_TARGETS:%=fuzz-at-%)

fuzz-core: $(DEV) $(CORE) ## search for what the compiled core does else than its twins, under the sanitizers
	$(PY) -m tests.fuzz.core --seconds $(FUZZ_SECONDS) --jobs $(FUZZ_JOBS) $(ARGS)

fuzz-guided: $(FUZZ) $(CORE) ## the same guided by coverage, without the sanitizers (Python 3.11)
	$(PY) -m tests.fuzz.core --guided --seconds $(FUZZ_SECONDS)

format: $(DEV) ## format the code, and fix what the linter can fix
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

format-check: $(DEV) ## fail if `make format` would change something
	$(PY) -m ruff format --check .

types: $(DEV) ## check the types
	$(PY) -m mypy

# What the others begin with, for whoever runs several of them at the same time.
ready: $(DEV) $(CORE) $(BUILD) $(DOCS) mariadb zookeeper ## install all that testing and building need

check: lint format-check types test ## all of these: what has to pass before a commit

mariadb: ## install MariaDB's server programs where they are missing (Debian, as root)
	@.ci/need-mariadb

zookeeper: ## install ZooKeeper where it is missing (Debian, as root)
	@.ci/need-zookeeper

core-check: $(DEV) $(CORE) ## run the laws of the compiled core under the sanitizers for addresses and undefined behaviour
	$(PY) -m tests.core.sanitized

# `make bench ONLY=secondary,primary`, `QUICK=1` to try it, `ALL=1` for all axes (hours), `ROUNDS=9`. It measures the native
# program; `BENCH_CKV="$PWD/.venv-bench/bin/python $PWD/ckv.py"` measures the interpreter, or any other command.
ONLY ?=
ROUNDS ?=
QUICK ?=
ALL ?=
BENCH_CKV ?=
BENCHED = "$(or $(BENCH_CKV),$$($(BUILD_PY) build/binary.py --where))"
bench: $(BENCH) $(if $(BENCH_CKV),,build) ## measure ckv beside Redis, Valkey, memcached, nutcracker and MariaDB, and write docs/benchmarks.md
	@.ci/newest-servers $(NEWEST) || echo "without Valkey, the newest Redis and the newest memcached" >&2
	@CKV_COMMAND=$(BENCHED) BENCH_NEWEST=$(NEWEST) $(BENCH_PY) -m bench $(if $(ONLY),--only=$(ONLY)) $(if $(ROUNDS),--rounds=$(ROUNDS)) \
		$(if $(QUICK),--quick) $(if $(ALL),--all) \
		--command="$(strip make bench $(foreach name,ONLY ROUNDS QUICK ALL BENCH_CKV,$(if $($(name)),$(name)=$($(name)))))"

# The steps run in a Python of ours, with the modules that are compiled in the native program.
bench-steps: $(BENCH) build ## measure where the time of one call goes: the tables of docs/performance.md
	@CKV_COMMAND=$(BENCHED) $(COMPILED) $(BENCH_PY) -P -m bench.steps --markdown

# By the interpreter, with loops that are compiled for it: it has what compiles them.
bench-looking: $(DEV) $(CORE) ## measure what it costs a call that a node looks at times and hot keys; minutes
	@$(PY) -m bench.steps --markdown --only=looking
	@$(PY) -m bench.steps --markdown --only=counted

# `make bench-page RESULTS=.bench/results.json` takes what the last run measured, whatever that was. Of several files later
# ones have parts that were measured again: `RESULTS="docs/benchmarks/results.json .bench/results.json"`.
RESULTS ?= docs/benchmarks/results.json
bench-page: $(BENCH) ## write docs/benchmarks.md and its plots again from what was measured
	@$(BENCH_PY) -m bench --page $(RESULTS)

# ARCH=aarch64 on another machine builds in an emulated one, which takes a quarter of an hour; needs root.
ARCH ?= $(shell uname -m)
build: $(if $(filter $(ARCH),$(shell uname -m)),$(BUILD)) ## make the native program: a folder, and a single file (build/out)
ifeq ($(ARCH),$(shell uname -m))
	@$(BUILD_PY) build/binary.py
else
	@build/emulated $(ARCH)
endif

# Of the tests of what is compiled, some start ckv as a process: they are for the program. The others call it in their own,
# and are for the compiled modules. Each would test the source again in the other's place.
COMPILED_TESTS = $(wildcard tests/protocol/test_*.py tests/net/test_*.py) tests/cluster/test_slots.py \
	$(filter-out %/test_mutations.py,$(wildcard tests/store/test_*.py))
WITH_PROCESSES = $(shell grep -l tests.support.nodes $(COMPILED_TESTS))

# What starts ckv as a process, with the native program in the place of the source, and what only that can fail.
BINARY_TESTS ?= tests/binary tests/system $(WITH_PROCESSES) tests/test_cli.py tests/test_demo.py tests/test_ping.py \
	tests/test_shell.py tests/security/test_limits.py $(SCENARIOS)::test_the_secondary_is_killed \
	$(SCENARIOS)::test_the_database_is_killed $(SCENARIOS)::test_the_secondary_is_told_to_stop_under_load
test-binary: build $(DEV) mariadb zookeeper ## run the tests of whole processes on the native program
	@CKV_COMMAND="$$($(BUILD_PY) build/binary.py --where)" $(PYTEST) $(BINARY_TESTS) $(ARGS)

# The package with the modules that are compiled in the native program, for a Python of ours.
COMPILED = PYTHONPATH="$$($(BUILD_PY) build/binary.py --package):."
test-compiled: build $(DEV) ## run the tests of protocol, net, routing and store on the compiled modules, in the test's own process
	@TEST_COMPILED=1 $(COMPILED) $(PY) -P -m pytest --numprocesses=$(WORKERS) --dist=worksteal --import-mode=importlib \
		$(filter-out $(WITH_PROCESSES),$(COMPILED_TESTS)) $(ARGS)

# `make image ENGINE=docker` where both are there; IMAGE_ARGS are further arguments of the engine's `build`.
ENGINE ?=
IMAGE_ARGS ?=
image: ## make the image ckv:VERSION of the native program, with podman or docker
	@ENGINE="$(ENGINE)" build/image $(IMAGE_ARGS)

# The program that is there, as `make build` or `make test-binary` left it; only where there is none it is built.
image-test: $(BUILD) $(DEV) mariadb ## run the native program in the image's root folder, without an engine
	@program="$$($(BUILD_PY) build/binary.py --where)" && { [ -x "$$program" ] || $(MAKE) build; } && \
		CKV_COMMAND="$$program" $(PYTEST) tests/image $(ARGS)

man: $(DEV) ## make the manual pages (build/out/man1)
	@$(PY) build/manpages.py build/out/man1

docs: $(DOCS) ## make a site of README.md and docs/, and fail where a link leads nowhere (build/out/docs)
	@$(PY) -m sphinx --quiet --fail-on-warning --keep-going --conf-dir docs --doctree-dir build/out/doctrees . build/out/docs

recording: $(DEV) $(CORE) mariadb ## type what the picture in the README shows, and draw it again (docs/recording.svg)
	@$(PY) -m tests.recording

dist: $(BUILD) ## make the native program and pack it for release: archives, a package for Debian, sums, licences, bill of materials (dist)
	@$(BUILD_PY) build/dist.py

# UPGRADE=--upgrade takes the newest versions; without it a version changes only where pyproject.toml asks for it.
UPGRADE ?=
COMPILE = $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(UPGRADE)
lock: $(PY) ## pin the versions that pyproject.toml allows; newest ones: make lock UPGRADE=--upgrade
	$(PIP) install uv
	$(COMPILE) pyproject.toml --extra server --output-file requirements.lock
	$(COMPILE) --group core --output-file requirements-core.lock
	$(COMPILE) pyproject.toml --extra server --group dev --constraints requirements.lock --output-file requirements-dev.lock
	$(COMPILE) --group bench --constraints requirements.lock --output-file requirements-bench.lock
	$(COMPILE) pyproject.toml --extra server --group build --constraints requirements.lock --output-file requirements-build.lock
	$(COMPILE) --group docs --constraints requirements-dev.lock --output-file requirements-docs.lock
	$(COMPILE) --group fuzz --output-file requirements-fuzz.lock
	$(COMPILE) --group clients --constraints requirements-dev.lock --output-file requirements-clients.lock
	$(COMPILE) --group iredis --output-file requirements-iredis.lock

clean: ## remove everything that make made
	rm -rf $(VENV) $(BUILD_VENV) build/out build/cache $(BENCH_VENV) .bench .fuzz .newest dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f ckv/core/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@python="$(PYTHON)" && python="$${python:-$$(.ci/find-python)}" && echo "python: $$python" && \
		"$$python" -m venv --clear $(VENV)

$(RUN): requirements.lock | $(PY)
	$(PIP) install --require-hashes --requirement $<
	@touch $@

# In place: ckv is run from the checkout.
$(CORE): requirements-core.lock build/extension.py $(wildcard $(addprefix ckv/core/*.,pyx pxd pxi h)) $(RUN)
	@.ci/need-compiler $(PY)
	$(PIP) install --require-hashes --requirement $<
	@$(PY) build/extension.py
	@touch $@

# After the other, so that what a developer has is a superset of it, and `make venv` finds it done.
$(DEV): requirements-dev.lock $(RUN)
	$(PIP) install --require-hashes --requirement $<
	@touch $@

$(DOCS): requirements-docs.lock $(DEV)
	$(PIP) install --require-hashes --requirement $<
	@touch $@

$(FUZZ): requirements-fuzz.lock $(DEV)
	$(PIP) install --require-hashes --requirement $<
	@touch $@

# With the tests of Django and django-redis, which only their sources have, and the packages of Node, where Node is there.
$(CLIENTS): requirements-clients.lock requirements-iredis.lock tests/clients/node/package-lock.json .ci/client-sources $(DEV)
	$(PIP) install --require-hashes --requirement $<
	@.ci/client-sources $(PY) $(VENV)/clients
	@touch $@

$(UPSTREAM): .ci/redis-tests | $(PY)
	@.ci/redis-tests $(VENV)/redis-tests
	@touch $@

$(BUILD): requirements-build.lock build/need-tools build/find-python
	@build/need-tools
	@python="$(PYTHON)" && python="$${python:-$$(build/find-python)}" && echo "python: $$python" && \
		"$$python" -m venv --clear $(BUILD_VENV)
	$(BUILD_PY) -m pip --quiet --disable-pip-version-check install --require-hashes --requirement $<
	@touch $@

$(BENCH): requirements.lock requirements-bench.lock .ci/need-bench
	@.ci/need-bench
	@python="$(PYTHON)" && python="$${python:-$$(.ci/find-python /usr/bin/python3)}" && echo "python: $$python" && \
		"$$python" -m venv --clear $(BENCH_VENV)
	$(BENCH_PY) -m pip --quiet --disable-pip-version-check install --require-hashes --requirement requirements.lock \
		--requirement requirements-bench.lock
	@touch $@
