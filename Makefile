# `make demo` and `make test` set up everything they need in .venv, then run.
# Another interpreter: make PYTHON=python3.12 demo

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
DEMO ?= demo-report
# Two processes of one thread each: tests of one file share their fixtures.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

.PHONY: demo test slow coverage oldest oracle lint docs clean

demo: $(VENV)/installed
	$(BIN)/mdgeomfeat vamp data/ala2/ala2.pdb data/ala2/ala2-*.xtc \
	    --step 2 --temperature 450 --out $(DEMO) --overwrite
	@echo "Open $(DEMO)/report.html"

test: $(VENV)/installed-test
	$(TESTS)

slow: $(VENV)/installed-test
	$(TESTS) -m slow

# The whole suite again with a record of the lines it runs: term, and coverage.xml.
coverage: $(VENV)/installed-test
	$(TESTS) --cov --cov-report=term:skip-covered --cov-report=xml

# The suite with the oldest versions that pyproject.toml allows.
OLDEST := $(VENV)-oldest
oldest: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python .ci/oldest.py > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet \
	    --constraint $(OLDEST)/constraints.txt --editable ".[test]"
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -q -n 2 --dist loadfile

# Parity of the networks with torchmd-net, which brings half a gigabyte with it, and of
# information bottlenecks with the package spib.
oracle: $(VENV)/installed-test
	$(PIP) --constraint constraints.txt --editable ".[oracle]"
	$(TESTS) tests/gnn/test_oracle.py tests/kinetics/test_spib.py

# Files that other people's machines read are checked against their schemas.
SCHEMA := $(BIN)/check-jsonschema --builtin-schema
lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(SCHEMA) vendor.github-workflows .github/workflows/*.yml
	$(SCHEMA) vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
	$(SCHEMA) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(SCHEMA) vendor.readthedocs .readthedocs.yaml
	$(SCHEMA) vendor.citation-file-format CITATION.cff

docs: $(VENV)/installed-test
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

# torch comes first and by itself: its pin decides which build is installed, and
# everything after it is content with what is there.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "mdgeomfeat needs Python 3.11 or later: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) --constraint constraints.txt --editable ".[test]"
	@touch $@

clean:
	rm -rf $(VENV) $(OLDEST) $(DEMO) docs/_build coverage.xml .coverage
