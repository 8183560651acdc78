# Everything a person runs. Packages come by name through apt, pip and Go modules; what is built is kept
# outside the checkout, so that a second one is ready in minutes.

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sluicegate
TOOLS := $(CACHE)/tools-$(shell sha256sum requirements/build.txt | cut -c 1-8)
UV := $(or $(shell command -v uv),$(TOOLS)/bin/uv)
# The system's own Python where it is new enough: one that a version manager built is often a tenth slower.
PYTHON := $(or $(shell /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && echo /usr/bin/python3),$(shell command -v python3),/usr/bin/python3)
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help venv up down status images clean-cache lint quick core sim sim-nightly sim-mutation contract models \
  e2e engine mutation nightly test bench-operator bench-rollout bench-reload bench-gate \
  demo demo-rollout crds generate requirements

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.made ## the virtual environment .venv with everything for development

$(VENV)/.made: requirements/dev.txt requirements/build.txt pyproject.toml | $(PYTHON) $(UV)
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/dev.txt requirements/build.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Made aside and moved, one at a time: other checkouts share it, and a killed run leaves nothing in its place.
$(TOOLS)/bin/uv: | $(PYTHON)
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq \
	  && apt-get install -qq --no-install-recommends python3-venv ca-certificates; }
	@mkdir -p $(CACHE)
	@flock $(CACHE)/tools.lock sh -ec 'test ! -x $@ || exit 0; new=$(CACHE)/tools-incoming; rm -rf $$new $(TOOLS); \
	  python3 -m venv $$new; \
	  $$new/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt; \
	  mv $$new $(TOOLS)'

/usr/bin/python3:
	@apt-get update -qq && apt-get install -qq --no-install-recommends python3

up: | $(PYTHON) ## start the local cluster, or reuse it
	@python3 -m e2e.cluster up

down: | $(PYTHON) ## end the local cluster and remove all it left
	@python3 -m e2e.cluster down

status: | $(PYTHON) ## the local cluster's components
	@python3 -m e2e.cluster status

images: | $(PYTHON) ## build the two images and print their references
	@python3 -m e2e.images build

clean-cache: ## remove what all checkouts share: built parts, images, models, tools (end their clusters first)
	@rm -rf '$(CACHE)'

lint: venv ## style, types, layers
	@ruff check .
	@ruff format --check .
	@mypy
	@mypy e2e bench
	@mypy tests/sim tests/faults
	@lint-imports

# One process more than processors: many tests wait for processes of their own.
PARALLEL = --numprocesses $(shell expr $$(nproc) + 1) --dist worksteal
# Some tests take a hundred times as long as others: each process is given one after another.
UNEQUAL = --numprocesses $(shell nproc) --dist load --maxschedchunk 1
WORLDS = tests/core/test_planner_properties.py

quick: venv ## the fast loop: every test that needs neither API server nor vLLM, but for what is generated or simulated
	@pytest -q $(PARALLEL) tests --ignore=tests/contract --ignore=tests/faults --ignore=tests/fuzz --ignore=$(WORLDS)

core: venv ## the decisions: 21,000 generated worlds, and every branch taken by the tables
	@pytest -q $(PARALLEL) $(WORLDS)
	@pytest -q $(PARALLEL) tests/core --ignore=$(WORLDS) \
	  --cov=sluicegate.core --cov-branch --cov-fail-under=100 --cov-report=term-missing:skip-covered

sim: venv ## the whole operator in a simulated cluster, with every fault at every point; or one run: RUN='...'
ifdef RUN
	@python -m tests.sim $(RUN)
else
	@pytest -q $(UNEQUAL) tests/faults tests/fuzz
endif

sim-nightly: venv ## the same, with the long runs as long as they are meant (an hour)
	@pytest -q $(UNEQUAL) tests/faults tests/fuzz --nightly

contract: venv ## the tests against a real API server, and the fake's against both
	@pytest -q $(PARALLEL) tests/contract

# A bad version takes minutes to be found out, of each kind; so do gates, swaps, and rollouts in a row.
NIGHTLY_E2E = $(patsubst %,e2e/test_%.py,bad_versions capacity gates observation rollouts webhook)

# Before the cluster's network namespace is entered: from there nothing outside can be reached.
models: venv
	@python -m e2e.models

e2e: venv up models ## the tests on the local cluster, with real vLLM
	@images=$$(python3 -m e2e.images build --json) && \
	SLUICEGATE_IMAGES=$$images python3 -m e2e.cluster exec -- $(BIN)/python -m pytest $(or $(E2E),e2e $(NIGHTLY_E2E:%=--ignore=%))

ENGINE_TESTS = image=$$(python3 -m e2e.images build engine --json | \
  python3 -c 'import json, sys; print(json.load(sys.stdin)["engine"])') && python -m e2e.engine --image $$image

engine: venv up ## every flag set and how weights are copied, with the pinned vLLM inside the engine image
	@$(ENGINE_TESTS) -- -q tests/engine_vllm/test_flags.py tests/engine_vllm/test_checksums.py \
	  tests/engine_vllm/test_inplace.py

sim-mutation: venv ## the operator's guards taken away, each of which some simulated run has to notice (40 minutes)
	@python -m tests.mutation.guards

mutation: venv ## small faults in the decisions, each of which some test has to notice (an hour)
	@python -m tests.mutation

nightly: venv up ## pods' lives, reloads, every engine setting that CPU can do, bad versions, rollouts, an operator killed (2 hours)
	@$(ENGINE_TESTS) -- -v tests/engine_vllm/test_pod.py tests/engine_vllm/test_reload.py \
	  tests/engine_vllm/nightly_rows.py tests/engine_vllm/nightly_saturation.py
	@$(MAKE) --no-print-directory e2e E2E='$(NIGHTLY_E2E) e2e/test_survival.py' ROLLOUTS=10 KILLS=20

test: lint quick core sim contract e2e engine ## everything

bench-operator: venv ## the operator's figures beside their bars; OUTPUT=json for programs
	@python -m bench.operator.scale --output $(or $(OUTPUT),table)
	@$(MAKE) --no-print-directory up models
	@images=$$(python3 -m e2e.images build --json) && \
	SLUICEGATE_IMAGES=$$images python3 -m e2e.cluster exec -- $(BIN)/python -m bench.operator.first_token \
	  --output $(or $(OUTPUT),table)

bench-reload: ## the figures of a reload beside their bars, where vLLM and a GPU are; OUTPUT=json for programs
	@python3 -m bench.reload.swap --output $(or $(OUTPUT),table)
	@python3 -m bench.reload.rivals --output $(or $(OUTPUT),table)

bench-gate: ## what the gate in a model pod costs beside bare vLLM, where vLLM and a GPU are; OUTPUT=json for programs
	@python3 -m bench.gate.cost --output $(or $(OUTPUT),table)

bench-rollout: venv ## the figures of rollouts beside their bars; OUTPUT=json for programs
	@python -m bench.rollout.crowd --output $(or $(OUTPUT),table)
	@$(MAKE) --no-print-directory up models
	@images=$$(python3 -m e2e.images build --json) && \
	SLUICEGATE_IMAGES=$$images python3 -m e2e.cluster exec -- $(BIN)/python -m bench.rollout.cutover \
	  --switches $(or $(SWITCHES),50) --output $(or $(OUTPUT),table)

# Only one that is named on the command line: many shells export KUBECONFIG for other purposes.
ifeq ($(origin KUBECONFIG),command line)
demo: venv
	@python -m e2e.demo --kubeconfig '$(KUBECONFIG)' --small-image '$(SMALL_IMAGE)' --engine-image '$(ENGINE_IMAGE)'
else
demo: venv up ## a model's answer on the local cluster (or on another: KUBECONFIG=... SMALL_IMAGE=... ENGINE_IMAGE=...)
	@python -m e2e.demo
endif

demo-rollout: venv ## what make demo left changes its version, is broken on purpose, and heals
	@python -m e2e.demo_rollout --kubeconfig '$(if $(filter command,$(origin KUBECONFIG)),$(KUBECONFIG))'

crds: venv ## write the CustomResourceDefinitions from the models
	@sluicegate crds --directory crds

generate: crds ## write all that is made from the code: definitions, reference, golden files
	@python docs/generate.py
	@python -m tests.golden.write

COMPILE = $(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
  --python-version 3.11 --custom-compile-command 'make requirements'

requirements: | $(UV) ## lock all dependencies anew
	@$(COMPILE) --universal --extra operator --extra store pyproject.toml -o requirements/small.txt
	@$(COMPILE) --universal --extra operator --extra store --group dev -c requirements/small.txt \
	  pyproject.toml -o requirements/dev.txt
	@$(COMPILE) --no-annotate --python-platform x86_64-manylinux_2_36 --overrides requirements/engine-cpu.overrides \
	  --excludes requirements/engine-cpu.excludes requirements/engine-cpu.in -o requirements/engine-cpu.txt
	@$(COMPILE) --universal requirements/build.in -o requirements/build.txt
	@$(COMPILE) --universal -c requirements/dev.txt requirements/engine-test.in -o requirements/engine-test.txt
	@$(COMPILE) --universal requirements/go.in -o requirements/go.txt
	@$(COMPILE) --universal --no-deps requirements/model.in -o requirements/model.txt
