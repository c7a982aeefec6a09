# Needs Python 3.11 or newer, make and git; everything else is set up in .venv.

PYTHON ?= python3
ENV := .venv/bin
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/xla
export MPLBACKEND := Agg
# Each of the many processes that the tests start would compile the sources anew.
export PYTHONDONTWRITEBYTECODE :=
# Two processes; files in the order that tests/conftest.py gives them, each in one of the two.
PYTEST_ARGUMENTS := -m pytest -n 2 --dist loadfile --no-loadscope-reorder
PYTEST := $(ENV)/python $(PYTEST_ARGUMENTS)

.PHONY: quickstart style check test tests lowest campaign tables docs tutorials release

# Trains a small network on synthetic nuclei, evaluates it on held-out ones, and finds those of a
# real image with a model that comes with the library: runs/example/fluorescence.overlay.png.
quickstart: .venv/ready
	$(ENV)/jaxnuc train --config=quickstart --workdir=runs/quickstart
	$(ENV)/jaxnuc evaluate --workdir=runs/quickstart --split=test
	$(ENV)/jaxnuc predict --example --output=runs/example

# Style, spelling, types and the arrows between packages.
style: .venv/ready
	$(ENV)/ruff check .
	$(ENV)/ruff format --check .
	$(ENV)/codespell
	$(ENV)/mypy
	$(ENV)/lint-imports

# What to run before every commit: all but the slow tests.
check: style
	$(PYTEST) -m "not slow"

# Everything. The types are checked beside the first tests, on the processor that these leave free.
test: .venv/ready
	$(MAKE) --no-print-directory --jobs=2 style tests

tests: .venv/ready
	$(PYTEST)

# All tests with the lowest versions that pyproject.toml allows, in an environment of its own.
lowest: .venv/lowest/ready
	.venv/lowest/bin/python $(PYTEST_ARGUMENTS)

# Kills commands at random moments, damages files at random, brings about faults of the machine, and
# much of everything, for half an hour or more: docs/reliability.md.
campaign: .venv/ready
	$(ENV)/python -m pytest -s tests/campaign

# Writes the tables of the documentation that are generated; the tests say when they are old.
tables: .venv/ready
	$(ENV)/python -m benchmarks.systems --write
	$(ENV)/python -m jaxnuc.data.catalog docs/data.md
	$(ENV)/python -m jaxnuc.run.cards docs/models.md

# Builds the site into build/site: a broken link or a page outside of the navigation is an error.
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(ENV)/python -m mkdocs build

# Runs all tutorials, which takes 8 to 16 minutes on 2 cores.
tutorials: .venv/docs
	$(ENV)/python -m pytest -s tests/tutorials

# The wheel, the source and the site of the tag that is checked out, in dist/.
release: docs
	git describe --tags --exact-match --match "v$$($(ENV)/python -c 'import jaxnuc; print(jaxnuc.__version__)')"
	$(ENV)/python -m build
	tar -C build -czf "dist/jaxnuc-$$($(ENV)/python -c 'import jaxnuc; print(jaxnuc.__version__)')-site.tar.gz" site

.venv/ready: pyproject.toml setup.py
	$(PYTHON) -m venv .venv
	$(ENV)/python -m pip install --quiet --editable .[test]
	touch $@

.venv/lowest/ready: .venv/ready
	$(ENV)/python -m pip install --quiet uv
	$(ENV)/uv pip compile --quiet --resolution lowest-direct pyproject.toml --output-file .venv/lowest.txt
	$(PYTHON) -m venv .venv/lowest
	.venv/lowest/bin/python -m pip install --quiet --constraint .venv/lowest.txt --editable .[test]
	touch $@

.venv/docs: .venv/ready
	$(ENV)/python -m pip install --quiet --editable .[test,docs]
	touch $@
