# Everything a fresh machine needs is set up by the targets themselves: python3, pip, git and make are enough.

export PATH := $(CURDIR)/.uv/bin:$(PATH)
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv
PYTHON := .venv/bin/python
RUNS ?= runs
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: demo test test-slurm prove lint bench clean

demo: .venv/ready
	$(PYTHON) -m launch.demo --workdir=$(RUNS)/demo

test: .venv/ready
	$(PYTHON) -m pytest

# Slurm comes from Debian's packages; the tests start it on one node of their own
test-slurm: .venv/ready
	@command -v slurmctld >/dev/null || $(SUDO) apt-get install --yes --no-install-recommends slurmctld slurmd slurm-client munge
	$(PYTHON) -m pytest -n 0 -m slurm tests/slurm

prove: .venv/ready
	$(PYTHON) -m pytest -m prove

lint: .venv/ready
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

bench: .venv/ready
	$(PYTHON) -m launch.bench

# Nothing is installed into the system's Python, which may refuse it; uv lives in a directory of its own. `--inexact`
# leaves what was added by hand, as the CUDA extra.
.uv/bin/uv:
	python3 -m pip install --quiet --disable-pip-version-check --target .uv uv

.venv/ready: .uv/bin/uv pyproject.toml uv.lock
	uv sync --quiet --frozen --inexact --group dev --extra plan
	touch $@

clean:
	rm -rf .venv .uv
