# Everything here sets itself up in .venv, from Python >= 3.11 alone. The first call installs; later calls find it done.
#
#   make run [SCAN=path]            open a page with a CT, its superpatches and masks; SCAN may be a file or a folder
#   make test                       all checks and all tests
#   make test-fast                  the tests that need no process of their own, no window and no browser: about a minute
#
# PIP_ARGS is handed to pip, for example an index that has the PyTorch build for your machine.
# PYTHON chooses the interpreter that .venv is made with.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Some images turn Python's cache of compiled code off; without it, pytest compiles each test and its plugins anew.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/lock.txt
PIP_ARGS ?=
PYTEST_ARGS ?=
FUZZ_ARGS ?=
BENCH_ARGS ?=
GPU_ARGS ?=
# Where `make gpu` writes.
OUT ?= $(VENV)/gpu
# Tests at a time. Each is a process with PyTorch, VTK and Qt, so memory, not cores, is the limit.
JOBS ?= 2
SCAN ?=

# The first Python on the path that is new enough.
PYTHON ?= $(shell for candidate in python3 python python3.13 python3.12 python3.11; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$candidate && break; done)

.PHONY: help run test rooms test-fast coverage lint format fuzz bench gpu soak screenshots lock clean

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 16

run: $(VENV)/.ready-to-run ## Open a CT (SCAN=path, else a phantom) in the browser; NO_BROWSER=1 only prints the address
	@$(BIN)/maesil app $(if $(SCAN),"$(SCAN)")

test: $(VENV)/.ready-to-test lint ## Run all checks, then all tests (PYTEST_ARGS="-k name", JOBS=2 at a time)
	@$(BIN)/python Testing/peak.py $(MAKE) --no-print-directory rooms

rooms:
	$(call pytest,)

test-fast: $(VENV)/.ready-to-test ## Run the tests that start no process, no window and no browser
	@$(BIN)/python Testing/peak.py $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile \
		-m "not slow and not process and not scene and not gui and not browser" Testing/Core Testing/Slicer/system $(PYTEST_ARGS)

coverage: $(VENV)/.ready-to-test ## Run all tests and measure which lines ran, those of child processes too
	@rm -rf .coverage
	$(call pytest,--cov --cov-append --cov-report= --cov-fail-under=0)
	@$(BIN)/coverage report

lint: $(VENV)/.ready-to-test ## Check style, types and the floors that imports may cross
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.ready-to-test ## Put the code into the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

fuzz: $(VENV)/.ready-to-test ## Read 10,000 damaged scans: each gives the right volume or one sentence (FUZZ_ARGS="--only 7")
	@$(BIN)/python Testing/Fuzz/run.py $(FUZZ_ARGS)

bench: $(VENV)/.ready-to-test ## Measure speed and memory, ours beside the alternatives (BENCH_ARGS="--only store")
	@$(BIN)/python Testing/Benchmarks/run.py $(BENCH_ARGS)

gpu: $(VENV)/.ready-to-test ## Measure training on this GPU into OUT=.venv/gpu: speed, utilisation, time and memory of all presets
	@mkdir -p "$(OUT)"
	@OUT="$(OUT)" $(BIN)/python -m Testing.Benchmarks.gpu $(GPU_ARGS)
	@$(BIN)/python -m Testing.Benchmarks.presets --out "$(OUT)/presets.md"

soak: $(VENV)/.ready-to-test ## Kill trainings 1,000 times, resume them and compare the weights (SOAK_ARGS="--kills 100 --processes 2")
	@$(BIN)/python -m Testing.Soak.kill $(SOAK_ARGS)

screenshots: $(VENV)/.ready-to-test ## Draw the pictures of the README anew; takes some minutes, needs no screen
	@mkdir -p Resources/Screenshots
	@$(BIN)/maesil phantom "$(VENV)/torso phantom.nii.gz" --shape 256 256 128 --seed 3
	@$(BIN)/maesil reconstruct "$(VENV)/torso phantom.nii.gz" --out $(VENV)/torso --control biharmonic
	@$(BIN)/python -c "from PIL import Image; drawn = Image.open('$(VENV)/torso/report.png').convert('RGB'); drawn.thumbnail((1600, 2000)); drawn.quantize(palette=drawn.quantize(256, Image.Quantize.FASTOCTREE), dither=Image.Dither.FLOYDSTEINBERG).save('Resources/Screenshots/report.png', optimize=True)"
	@$(BIN)/python Testing/Slicer/screenshots.py
	@$(BIN)/python Testing/Web/screenshots.py

lock: | $(BIN)/python ## Renew requirements/lock.txt from the ranges in pyproject.toml
	@$(BIN)/python -m pip install --quiet $(PIP_ARGS) uv
	@$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --all-extras --no-annotate --no-header \
		--constraint requirements/pins.txt --output-file $(VENV)/lock.txt pyproject.toml
	@{ grep '^#' $(LOCK); cat $(VENV)/lock.txt; } > $(LOCK).new && mv $(LOCK).new $(LOCK)

clean: ## Remove .venv and everything that a tool left behind
	@rm -rf $(VENV) .coverage build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# Each room in processes of its own, which give back their memory; so also the pages in a browser and their servers, and
# the other tests of the page, which each keep a part of a scene. Status 5: a room has no such test.
define pytest
	@status=0; \
	room() { \
		code=0; $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(1) "$$@" $(PYTEST_ARGS) || code=$$?; \
		[ $$code = 0 ] || [ $$code = 5 ] || status=$$code; \
	}; \
	room Testing/Core; \
	room Testing/Slicer; \
	room Testing/Web -m "not browser"; \
	room Testing/Web -m browser; \
	exit $$status
endef

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "MAESIL needs Python 3.11 or newer; install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python could not make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# PyTorch goes first and alone, as the lock's exact pin, so that nothing else's range chooses another build of it.
# A file says that the installation was completed; an interrupted one is taken up again.
define install
	@echo "Installing MAESIL in $(VENV) (once; PyTorch is large) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) "$$(grep -oE '^torch==[0-9.]+' $(LOCK))"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --constraint $(LOCK) --editable '.[$(1)]'
endef

$(VENV)/.ready-to-run: pyproject.toml $(LOCK) | $(BIN)/python
	$(call install,all)
	@touch $@

$(VENV)/.ready-to-test: pyproject.toml $(LOCK) | $(BIN)/python
	$(call install,dev)
	@touch $@ $(VENV)/.ready-to-run
