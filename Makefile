PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-extras check check-weights docs format clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("temporalkd needs Python >= 3.11, found %d.%d; use: make PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(BIN)/temporalkd: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[dev,docs]'
	@touch $(BIN)/temporalkd $@

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

test-extras: $(VENV)/.dev  ## what needs Lightning, transformers, wandb or mlflow
	$(BIN)/python -m pip install --quiet lightning -e '.[hf,wandb,mlflow]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_examples.py tests/models/test_sources.py tests/config/test_teacher.py tests/test_loggers.py

docs: $(VENV)/.dev  ## the documentation, into site/; fails on warnings
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache
