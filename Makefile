# Two commands: `make demo` sets up and scores the bundled example, `make test` sets up and runs every check.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Built by pip where there is gcc.
KERNELS = $(wildcard model/native/*)

.PHONY: demo test check clean

demo: $(VENV)/.serving
	$(BIN)/amends score examples/kettle-recall.html --html report.html

test: $(VENV)/.development check

check:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m "slow or not slow" -rs

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.serving: pyproject.toml $(KERNELS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# torch comes first and by its version alone: resolved together with the rest, pip prefers a build for GPUs.
$(VENV)/.development: pyproject.toml $(KERNELS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable ".[train,evaluate,ray,dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info report.html
