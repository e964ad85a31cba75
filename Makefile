# Every target sets up what it needs (.venv, the lock, the editable install) and skips what is done.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Where the index's torch is a CUDA build, point this at PyTorch's index of CPU builds: TORCH_ARGS="--index-url …".
TORCH_ARGS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --progress-bar off

.PHONY: help quickstart test check bench bench-trl setup docs format lock clean
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 20

quickstart: setup  ## build a ~1M-parameter model, warm it up, improve it by RL, on this machine's CPU
	@$(BIN)/rl-reason run recipes/quickstart.yaml

check: setup  ## format, lint, types, import contracts, spelling, docs map, unit and contract tests
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@contracts=$$($(BIN)/lint-imports 2>&1) || { echo "$$contracts"; exit 1; }
	@$(BIN)/codespell
	@$(BIN)/pyright --warnings
	@$(BIN)/python docs/readme_map.py --check
	@$(BIN)/python -m pytest tests/unit tests/contract -q

test: setup  ## all of the tests, with real vLLM, DeepSpeed and Ray
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile

bench: setup  ## ratios: roll-out to vLLM alone, learner to a bare loop, sync to the iteration (needs a quickstart run)
	@$(BIN)/python benchmarks/rollout.py
	@$(BIN)/python benchmarks/learner.py
	@$(BIN)/python benchmarks/sync_share.py

bench-trl: setup  ## tokens per second end to end against TRL, in an environment of its own
	@$(BIN)/python benchmarks/vs_trl.py

docs: setup  ## write the README's map of files anew
	@$(BIN)/python docs/readme_map.py

format: setup  ## format and mend what ruff can
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

setup: $(VENV)/.ready

# torch first with its own dependencies, then the whole lock without any: see launch/env/README.md.
$(VENV)/.ready: launch/env/cpu.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found. Install Python 3.11 with venv, or call: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v == (3, 11) else f"make: {sys.executable} is Python {v[0]}.{v[1]}; the lock is for 3.11. Call: make PYTHON=/path/to/python3.11")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "setup: creating $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "setup: torch (CPU)"; $(PIP) $(TORCH_ARGS) torch==2.13.0
	@echo "setup: $$(grep -c == launch/env/cpu.lock) locked packages"; $(PIP) --no-deps -r launch/env/cpu.lock
	@echo "setup: rl-reason, editable"; $(PIP) --no-deps --no-build-isolation -e .
	@touch $@

lock: setup  ## solve the environment anew from launch/env/cpu.in
	@$(BIN)/python launch/env/make_lock.py

clean:  ## remove the environment and the caches (runs stay)
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache dist
