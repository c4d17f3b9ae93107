# Everything a fresh machine needs is set up by the targets themselves: python3, pip, git and make are enough.

export PATH := $(CURDIR)/.uv/bin:$(PATH)
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv
PYTHON := .venv/bin/python
RUNS ?= runs

.PHONY: demo test prove lint bench clean

demo: .venv/ready
	$(PYTHON) -m launch.demo --workdir=$(RUNS)/demo

test: .venv/ready
	$(PYTHON) -m pytest

prove: .venv/ready
	$(PYTHON) -m pytest -m prove

lint: .venv/ready
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

bench: .venv/ready
	$(PYTHON) -m launch.bench

# A virtual environment is made even where the system's Python refuses installs; uv lives in one of its own.
.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/python -m pip install --quiet uv

.venv/ready: .uv/bin/uv pyproject.toml uv.lock
	uv sync --quiet --frozen --group dev
	touch $@

clean:
	rm -rf .venv .uv
