# Every target makes the virtual environment that it needs, from nothing.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
BENCH_STAMP := $(VENV)/.installed-bench
DIST := $(VENV)-dist
DIST_STAMP := $(DIST)/.installed

# Tests run in one process for each worker, so that threads of the linear algebra libraries would
# only take the cores from one another.
WORKERS ?= 2
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test test-oldest test-slow coverage fuzz lint docs docs-links docs-check docs-pictures dist audit clean distclean
.PHONY: bench bench-skill bench-ablation bench-images bench-speed bench-maps bench-sharing
.PHONY: bench-field bench-limesoda bench-coverage

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | \
		awk -F'|' '{ printf "make %-14s %s\n", $$1, $$2 }'

venv: $(STAMP) ## make .venv with the pinned versions and this package, editable

# The stamp is written last: an install that was cut off is taken up again by the next call.
$(STAMP): pyproject.toml constraints.txt
	@rm -f $@
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@

demo: $(STAMP) ## fit, score and map the Meuse survey, and save the figure; IMAGES=1 adds chips
	$(BIN)/python examples/plot_meuse.py
	$(if $(IMAGES),$(BIN)/python examples/plot_imagery.py)

# scikit-learn skips its check of array API input unless this is set before scipy is imported.
test: $(STAMP) ## run the tests and the examples in docstrings, without the slow ones
	SCIPY_ARRAY_API=1 $(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-slow: $(STAMP) ## run the slow tests only
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m slow

# The other end of what is supported: the lower bounds of pyproject.toml. Only torch is installed with
# its dependencies, because they differ between its builds.
OLDEST := $(VENV)-oldest
OLDEST_STAMP := $(OLDEST)/.installed

$(OLDEST_STAMP): pyproject.toml constraints-oldest.txt
	@rm -f $@
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --constraint constraints-oldest.txt torch
	$(OLDEST)/bin/python -m pip install --quiet --no-deps --requirement constraints-oldest.txt
	$(OLDEST)/bin/python -m pip install --quiet --no-deps --editable .
	@touch $@

# Old versions warn of deprecations, so that warnings are no errors here.
test-oldest: $(OLDEST_STAMP) ## run the tests with the oldest versions that are supported
	SCIPY_ARRAY_API=1 $(ONE_THREAD) $(OLDEST)/bin/python -m pytest -n $(WORKERS) --dist worksteal \
		-W default $(TESTS)

coverage: $(STAMP) ## run the tests and list the lines and branches that they do not reach
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov \
		--cov-report=term-missing:skip-covered

fuzz: $(STAMP) ## fit ten thousand odd tables, read damaged files for an hour; goes on; SEEDS=0
	PYTHONPATH=. $(ONE_THREAD) $(BIN)/python tests/fuzz.py properties --seed $(firstword $(SEEDS))
	PYTHONPATH=. $(ONE_THREAD) $(BIN)/python tests/fuzz.py files --seed $(firstword $(SEEDS))
	PYTHONPATH=. $(ONE_THREAD) $(BIN)/python tests/forge.py models --n 500000 --seed $(firstword $(SEEDS))
	PYTHONPATH=. $(ONE_THREAD) $(BIN)/python tests/forge.py checkpoints --n 10000 --seed $(firstword $(SEEDS))

# Tests pass invalid types on purpose, so mypy checks their names and imports only.
MYPY_TESTS := --explicit-package-bases --no-check-untyped-defs --allow-incomplete-defs \
	--disable-error-code=arg-type --disable-error-code=call-overload \
	--disable-error-code=list-item

lint: $(STAMP) ## check style, format, types and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=tests:docs:.ci $(BIN)/mypy $(MYPY_TESTS) tests
	$(BIN)/codespell

$(DOCS_STAMP): $(STAMP)
	@rm -f $@
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	@touch $@

docs: $(DOCS_STAMP) ## build the site in docs/_build/html, examples run; warnings are errors
	$(ONE_THREAD) $(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

docs-links: ## check that all links inside the built site lead somewhere; no network
	$(PYTHON) docs/check_links.py docs/_build/html

AXE := docs/_build/axe/package/axe.min.js

$(AXE):
	mkdir -p docs/_build/axe
	cd docs/_build/axe && npm pack --silent axe-core@4.14.1 && tar -xzf axe-core-4.14.1.tgz

docs-check: $(AXE) ## open all pages of the built site in Chromium; npm fetches axe-core; minutes
	$(PYTHON) docs/check_pages.py docs/_build/html --axe $(AXE)
	$(PYTHON) docs/check_pages.py docs/_build/html --axe $(AXE) --dark --widths 1300 --pages "*.html"

docs-pictures: $(DOCS_STAMP) ## draw the maps of the first page and the thumbnails of the examples
	$(ONE_THREAD) $(BIN)/python docs/draw_first_page.py
	$(ONE_THREAD) $(BIN)/python docs/draw_thumbnails.py

# The tools that build and check a release have an environment of their own, because some of their
# dependencies are not those of the tests. The constraints also pin the build backend.
$(DIST_STAMP): constraints.txt
	@rm -f $@
	$(PYTHON) -m venv $(DIST)
	$(DIST)/bin/python -m pip install --quiet --constraint constraints.txt build twine
	@touch $@

dist: $(STAMP) $(DIST_STAMP) ## build wheel and source archive in dist/, check them, try the wheel
	rm -rf dist
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(DIST)/bin/python -m build --outdir dist .
	$(DIST)/bin/python -m twine check --strict dist/*
	$(ONE_THREAD) $(BIN)/python .ci/check_dist.py dist

$(BENCH_STAMP): $(STAMP)
	@rm -f $@
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	@touch $@

# Folder of the Parquet files of the public tables, and the seeds.
DATA ?= data
SEEDS ?= 0

bench: $(BENCH_STAMP) ## score the model and its baselines on simulated surveys; about an hour
	$(BIN)/python -m benchmarks.skill --simulated --seeds $(SEEDS)

bench-skill: $(BENCH_STAMP) ## the same on public tables: DATA=folder SEEDS="0 1 2"; hours, resumes
	$(BIN)/python -m benchmarks.skill --data $(DATA) --seeds $(SEEDS)

bench-field: $(BENCH_STAMP) ## the same for further baselines, of 2026: DATA=folder; hours, resumes
	$(BIN)/python -m benchmarks.skill --data $(DATA) --models field --seeds $(SEEDS)

bench-limesoda: $(BENCH_STAMP) ## LimeSoDa's fields with their own ten folds; hours, resumes
	$(BIN)/python -m benchmarks.skill --limesoda --models sptgnn random_forest regression_kriging field --seeds $(SEEDS)

bench-ablation: $(BENCH_STAMP) ## ablation study on the same tables; hours, resumes
	$(BIN)/python -m benchmarks.ablation --data $(DATA) --seeds $(SEEDS)
	$(BIN)/python -m benchmarks.ablation --simulated --folds random --seeds $(SEEDS)

bench-images: $(STAMP) ## accuracy and speed with images, on simulated surveys; about half an hour
	$(BIN)/python -m benchmarks.images survey
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.images speed --workers 1

bench-speed: $(BENCH_STAMP) ## time and memory of the model and its baselines; hours
	$(BIN)/python -m benchmarks.speed plain --seed $(firstword $(SEEDS))
	$(BIN)/python -m benchmarks.speed trees --data $(DATA) --seed $(firstword $(SEEDS))
	$(BIN)/python -m benchmarks.speed growth --seed $(firstword $(SEEDS))
	$(BIN)/python -m benchmarks.speed predict --seed $(firstword $(SEEDS))
	$(BIN)/python -m benchmarks.speed graph --seed $(firstword $(SEEDS))
	-$(BIN)/python -m benchmarks.speed gpu --seed $(firstword $(SEEDS))
	$(BIN)/python -m benchmarks.imports

bench-maps: $(STAMP) ## time and memory of a map of 4,000 x 4,000 cells, and its block edges
	$(BIN)/python -m benchmarks.maps

bench-sharing: $(STAMP) ## skill of models without training data, on public tables: DATA=folder
	$(ONE_THREAD) $(BIN)/python -m benchmarks.sharing --data $(DATA) --folds all

# MAPIE's conditional method imports cvxpy, which no extra has.
bench-coverage: $(BENCH_STAMP) ## coverage of intervals in groups of rows: DATA=folder; hours, resumes
	$(BIN)/python -m pip install --quiet --constraint constraints.txt cvxpy-base
	$(ONE_THREAD) $(BIN)/python -m benchmarks.group_coverage --data $(DATA) --seeds $(SEEDS)
	$(ONE_THREAD) $(BIN)/python -m benchmarks.group_coverage --simulated
	$(BIN)/python -m benchmarks.group_coverage --write

audit: $(STAMP) ## look the pinned versions up among known vulnerabilities; asks the network
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

clean: ## remove caches and built files, but keep .venv
	rm -rf docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst
	rm -rf build dist .coverage htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -print0 | xargs -0 rm -rf

distclean: clean ## remove .venv too
	rm -rf $(VENV) $(OLDEST) $(DIST)
