# What people type. CI runs `make lint-files test`, by .ci/run.
PYTHON ?= python3.11
BIN := .venv/bin
TORCH := torch==2.13.0
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DGLBACKEND := pytorch

.PHONY: help install tools demo test test-containers lint lint-files types unit results lock golden clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

install: .venv/installed  ## .venv from the hash-locked lock

# torch first and by version: a hash lock cannot hold its CPU and its CUDA build. Everything else
# from the lock, hashes required. uv takes 6 s for it; where uv finds no index (it reads no pip
# configuration) pip does the same in minutes.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH) "$$(grep -o '^uv==[^ ]*' requirements.lock)"
	$(BIN)/uv pip install --quiet --python .venv --no-deps --require-hashes --compile-bytecode -r requirements.lock \
	  || $(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

tools: .venv-tools/installed  ## .venv-tools: linters of other files, the writer of the SBOM

.venv-tools/installed: .ci/tools.lock
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .ci/tools.lock
	@touch $@

demo: install  ## the main job on the embedded data set, by dvc repro
	dvc repro

test: install lint types unit  ## lint, types and tests: what CI runs besides lint-files

lint: install
	ruff check . && ruff format --check .

lint-files: tools  ## Containerfile, workflows, manifest
	.venv-tools/bin/hadolint components/images/Containerfile
	.venv-tools/bin/zizmor --offline --quiet .github
	.venv-tools/bin/kubernetes-validate --strict pipelines/namespace.yaml

types: install
	mypy

# One thread a worker: the threads of two wait for each other spinning, and on two busy cores a
# test of 30 s has taken 8 minutes.
unit: install
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile

test-containers: install  ## builds both images, runs the tiny pipeline in them
	.ci/containers

test-s3: install .venv-s3/installed  ## a data set through an S3 server and back
	COUNTERPOINT_TEST_S3=$(CURDIR)/.venv-s3/bin pytest -q -n 0 tests/end_to_end/test_s3.py

.venv-s3/installed: .ci/s3.lock
	$(PYTHON) -m venv .venv-s3
	.venv-s3/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .ci/s3.lock
	@touch $@

results: install  ## compute what is missing of the studies, render docs/results.md
	python -m benchmarks.results

UV_LOCK := uv pip compile --generate-hashes --no-emit-package torch --python-version 3.11 \
  --python-platform x86_64-manylinux_2_28 --no-emit-index-url --quiet --no-header --no-annotate
IMAGES := components/images

# The images' locks are parts of the whole; scs is a solver of cvxpy's that no weighting uses, 145 MB.
lock: install  ## resolve every lock again
	$(UV_LOCK) pyproject.toml --extra dev -o requirements.lock
	$(UV_LOCK) -c requirements.lock $(IMAGES)/data.in -o $(IMAGES)/data.lock
	$(UV_LOCK) -c requirements.lock $(IMAGES)/train.in --no-emit-package scs -o $(IMAGES)/train.lock
	$(UV_LOCK) -c requirements.lock $(IMAGES)/kfp.in --no-deps -o $(IMAGES)/kfp.lock
	$(UV_LOCK) -c requirements.lock $(IMAGES)/build.in -o $(IMAGES)/build.lock
	$(UV_LOCK) $(IMAGES)/fetch.in -o $(IMAGES)/fetch.lock
	$(UV_LOCK) .ci/tools.in -o .ci/tools.lock
	$(UV_LOCK) -c $(IMAGES)/fetch.lock .ci/s3.in -o .ci/s3.lock

golden: install  ## render dvc.yaml and the compiled pipelines from the table of stages
	counterpoint pipeline dvc > dvc.yaml
	counterpoint pipeline compile --output pipelines
	python -m components.readme

clean:  ## artefacts of the demo
	rm -rf work
