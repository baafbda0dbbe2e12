# What people type. CI runs `make test` and nothing else.
PYTHON ?= python3.11
BIN := .venv/bin
TORCH := torch==2.13.0
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DGLBACKEND := pytorch

.PHONY: help install demo test lint types unit results lock golden clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

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

demo: install  ## the main job on the embedded data set, by dvc repro
	dvc repro

test: install lint types unit  ## all that CI checks

lint: install
	ruff check . && ruff format --check .

types: install
	mypy

unit: install
	pytest -n 2 --dist loadfile

results: install  ## compute what is missing of the studies, render docs/results.md
	python -m benchmarks.results

lock: install  ## resolve requirements.lock again from pyproject.toml
	uv pip compile pyproject.toml --extra dev --generate-hashes --no-emit-package torch \
	  --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-emit-index-url \
	  --quiet --no-header --no-annotate -o requirements.lock

golden: install  ## render dvc.yaml and the compiled pipeline from the table of stages
	counterpoint pipeline dvc > dvc.yaml
	counterpoint pipeline compile --output pipelines

clean:  ## artefacts of the demo
	rm -rf work
