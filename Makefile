# Every target sets up what it needs: a virtual environment in .venv with the exact versions of constraints.txt. What
# runs the catalogue needs no test tools and no PyTorch.
# Nothing but make and Python >= 3.11 is required. PYTHON=/path/to/python chooses the interpreter.

PYTHON ?= python3
BIN := .venv/bin
CATALOGUE := .venv/.catalogue
READY := .venv/.ready

.PHONY: verify figures report test lint types imports clean

verify: $(CATALOGUE)
	$(BIN)/ravine verify

figures: $(CATALOGUE)
	$(BIN)/ravine figures --out figs

report: $(CATALOGUE)
	$(BIN)/ravine report --out report

test: $(READY)
	$(BIN)/python -m pytest -n auto

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

$(CATALOGUE): EXTRAS := worst-case
$(READY): EXTRAS := test,dev,bench,dask,net,parquet,worst-case

$(CATALOGUE) $(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ravine needs Python >= 3.11, got " + sys.version.split()[0] + "; run make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet -e '.[$(EXTRAS)]'
	touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
