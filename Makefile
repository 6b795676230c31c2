# make demo: set up, show what a shipped model makes, then train, sample, score and compare on the
#            embedded digits
# make test: set up, then lint, format, types and tests
# make docs: set up with the extra `docs`, run the tutorials, and build the site; warnings are errors
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-slow lint bench docs clean

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

.venv/.docs: .venv/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

demo: setup
	$(BIN)/scalespace sample cascaded --per-class 8 --grid runs/shipped.png
	$(BIN)/scalespace study --preset quick --jobs 2

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# one thread a process: two processes of two threads each on two cores wait for one another;
# worksteal keeps neighbouring tests in one process, which makes what they share once
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

test-slow: setup
	$(BIN)/pytest -m slow

bench: setup
	$(BIN)/scalespace bench --suite --out runs/bench

# the tutorials call the command that lies beside python
docs: .venv/.docs
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m sphinx -c docs --fail-on-warning --keep-going --quiet . build/site -d build/doctrees
	@echo "The site: build/site/index.html"

clean:
	rm -rf .venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
