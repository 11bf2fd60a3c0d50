# The two commands that matter: `make demo` and `make test`. Each sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CT ?=
OUT ?= demo-out
# How many processes run tests: many wait for a service, so one more than the two cores they are for.
TEST_PROCESSES ?= 3

.PHONY: demo test test-long bench bench-receive bench-detection check audit format setup setup-tests clean

## Route a CT series through the whole service (CT=DIR for your own DICOM folder).
demo: $(VENV)/.worker
	$(BIN)/pulmonode demo --out $(OUT) $(if $(CT),--ct $(CT))

## Install what the tests need, check the code, run every test.
test: $(VENV)/.dev
	$(MAKE) --no-print-directory --jobs 2 --output-sync setup-tests check # one waits for apt
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile \
		--no-loadscope-reorder $(PYTEST_ARGS)

## The long forms as well; leaves docs/evidence/DATE-test-long.txt and the tables of faults.
test-long: setup-tests
	tests/run_long.sh $(PYTEST_ARGS)

## Time of lungs, detection and segmentation, with the MONAI architecture beside it (minutes).
bench-detection: $(VENV)/.dev
	$(BIN)/pulmonode bench detection --peer-tiles 2 --json build/bench/detection.json

## Images received per second, beside Orthanc and storescp (minutes; a quiet machine tells more).
bench-receive: setup-tests
	$(BIN)/pulmonode bench receive --json build/bench/receive.json

## Everything that is compared with others on this machine.
bench: bench-receive bench-detection

## Lint, format, types, import rules.
check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## Known weaknesses of the installed packages, by PyPI's advisories; needs the internet.
audit: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet "pip-audit>=2.7" # Apache-2.0; nothing else needs it
	$(BIN)/pip-audit --local --skip-editable --progress-spinner off

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(VENV)/.dev

# Real DICOM peers, a real Redis, viewer and browser, what a bare Debian lacks; see the scripts.
setup-tests: $(VENV)/.dev
	@PATH="$(CURDIR)/$(BIN):$$PATH" deploy/setup/test-peers.sh
	@deploy/setup/ohif.sh
	@deploy/setup/compose-schema.sh

$(VENV)/bin/python:
	deploy/setup/virtual-environment.sh $(PYTHON) $(VENV)

$(VENV)/.worker: pyproject.toml | $(VENV)/bin/python
	deploy/setup/install.sh $(BIN)/python worker,console
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	deploy/setup/install.sh $(BIN)/python dev
	touch $@ $(VENV)/.worker

clean:
	rm -rf $(VENV) build dist *.egg-info demo-out .mypy_cache .ruff_cache .pytest_cache
