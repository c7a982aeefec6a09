# Needs Python 3.11 or newer, make and git; everything else is set up in .venv.

PYTHON ?= python3
ENV := .venv/bin
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/xla
export MPLBACKEND := Agg

.PHONY: quickstart test

# Trains a small network on synthetic nuclei and evaluates it on held-out ones.
quickstart: .venv/ready
	$(ENV)/python train.py --config=configs/quickstart.py --workdir=runs/quickstart
	$(ENV)/python eval.py --workdir=runs/quickstart --split=test

# Style, types, tests: in two processes, each file in one of them.
test: .venv/ready
	$(ENV)/ruff check .
	$(ENV)/ruff format --check .
	$(ENV)/mypy
	$(ENV)/lint-imports
	$(ENV)/python -m pytest -n 2 --dist loadfile

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(ENV)/python -m pip install --quiet --editable .[test]
	touch $@
