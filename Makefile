PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: setup test docs site wheel demo clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'torchbas needs Python 3.11 or newer: give one, e.g. make setup PYTHON=python3.12'; exit 1; }
	@echo 'Setting up .venv: some minutes and 7 GB of disk, once.'
	@if command -v uv > /dev/null; then \
		uv venv --quiet --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv && \
		uv pip install --quiet --python $(BIN)/python --compile-bytecode -e '.[dev]' -c constraints.txt; \
	else \
		$(PYTHON) -m venv --clear .venv && $(BIN)/python -m pip install --quiet -e '.[dev]' -c constraints.txt; \
	fi
	@touch $@

test: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@if command -v node > /dev/null; then $(BIN)/pyright --pythonpath $(BIN)/python; \
		else echo 'No node on PATH: types are not checked.'; fi
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

docs: setup
	$(BIN)/python benchmarks/tables.py
	$(BIN)/python benchmarks/api_reference.py

site: setup
	$(BIN)/python benchmarks/docs_site.py

wheel: setup
	$(BIN)/python -m build --no-isolation

demo: setup
	$(BIN)/bas demo --overwrite

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
