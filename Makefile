# Everything a person runs. Packages come by name through apt, pip and Go modules; what is built is kept
# outside the checkout, so that a second one is ready in minutes.

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sluicegate
UV := $(or $(shell command -v uv),$(CACHE)/tools/bin/uv)
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help venv up down status images lint quick contract e2e engine nightly test bench-operator demo crds generate \
  requirements

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.made ## the virtual environment .venv with everything for development

$(VENV)/.made: requirements/dev.txt requirements/build.txt pyproject.toml | $(UV)
	@$(UV) venv --quiet --allow-existing --python python3 $(VENV)
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt requirements/build.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(CACHE)/tools/bin/uv:
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq \
	  && apt-get install -qq --no-install-recommends python3 python3-venv ca-certificates; }
	@python3 -m venv $(CACHE)/tools
	@$(CACHE)/tools/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt

up: ## start the local cluster, or reuse it
	@python3 -m e2e.cluster up

down: ## end the local cluster and remove all it left
	@python3 -m e2e.cluster down

status: ## the local cluster's components
	@python3 -m e2e.cluster status

images: ## build the two images
	@python3 -m e2e.images build

lint: venv ## style, types, layers
	@ruff check .
	@ruff format --check .
	@mypy
	@mypy e2e bench
	@lint-imports

quick: venv ## the fast loop: every test that needs neither API server nor vLLM
	@pytest -q tests --ignore=tests/contract

contract: venv ## the tests against a real API server, and the fake's against both
	@pytest -q tests/contract

e2e: venv up ## the tests on the local cluster, with real vLLM
	@images=$$(python3 -m e2e.images build --json) && \
	SLUICEGATE_IMAGES=$$images python3 -m e2e.cluster exec -- $(BIN)/python -m pytest $(or $(E2E),e2e)

ENGINE_TESTS = image=$$(python3 -m e2e.images build engine --json | \
  python3 -c 'import json, sys; print(json.load(sys.stdin)["engine"])') && python -m e2e.engine --image $$image

engine: venv up ## every flag set, parsed by the pinned vLLM inside the engine image
	@$(ENGINE_TESTS) -- -q tests/engine_vllm/test_flags.py

nightly: venv up ## pods' lives and every engine setting that CPU can do, started and asked (25 minutes)
	@$(ENGINE_TESTS) -- -v tests/engine_vllm/test_pod.py tests/engine_vllm/nightly_rows.py

test: lint quick contract e2e engine ## everything

bench-operator: venv ## the operator's figures beside their bars; OUTPUT=json for programs
	@python -m bench.operator.scale --output $(or $(OUTPUT),table)
	@$(MAKE) --no-print-directory up
	@images=$$(python3 -m e2e.images build --json) && \
	SLUICEGATE_IMAGES=$$images python3 -m e2e.cluster exec -- $(BIN)/python -m bench.operator.first_token \
	  --output $(or $(OUTPUT),table)

# Only one that is named on the command line: many shells export KUBECONFIG for other purposes.
ifeq ($(origin KUBECONFIG),command line)
demo: venv
	@test -n '$(IMAGES)' || { echo 'error: name images that this cluster can pull: make demo KUBECONFIG=... \
	IMAGES={"small":"registry/sluicegate:tag","engine":"registry/sluicegate-engine:tag"}' >&2; exit 2; }
	@python -m e2e.demo --kubeconfig $(KUBECONFIG) --images '$(IMAGES)'
else
demo: venv up ## a model's answer on the local cluster (or with KUBECONFIG=... IMAGES=... on another)
	@images=$$(python3 -m e2e.images build --json) && python -m e2e.demo --images "$$images"
endif

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
