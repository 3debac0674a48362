PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test check check-weights docs format clean

$(BIN)/temporalkd: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("temporalkd needs Python >= 3.11, found %d.%d; say: make PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/.dev: pyproject.toml $(BIN)/temporalkd
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@

demo: $(BIN)/temporalkd  ## train a student on the synthetic street and watch it not flicker
	$(BIN)/temporalkd demo

check: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check-weights: $(VENV)/.dev  ## default weights of all methods, by gradient: 15 minutes
	$(BIN)/python tools/check_weights.py

test: check  ## all that CI runs: as many workers as cores, one thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

$(VENV)/.docs: pyproject.toml $(BIN)/temporalkd
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	@touch $@

docs: $(VENV)/.docs  ## the documentation, into site/; fails on warnings; not part of `make test`
	$(BIN)/python -m mkdocs build --strict

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache
