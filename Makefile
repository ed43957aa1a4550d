# Everything that is needed is installed here, into .venv: Python 3.11, pip and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export AIRFLOW_HOME := $(CURDIR)
export AIRFLOW__CORE__LOAD_EXAMPLES := False
# Compiled modules are kept, also where the environment says otherwise: else each process compiles all of them again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-cluster test-browser test-thorough texts lint format bench clean requirements

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/installed ## a season's rollovers on real parts; ARGS=--exit, --ask, --snapshots
	@$(BIN)/python -m rollover_demo.demo $(ARGS)

test: $(VENV)/installed-dev ## the tests, against a real PostgreSQL, SFTP server and Airflow; ARGS for pytest
	@$(BIN)/python -m pytest -m "not slow and not cluster and not browser" $(ARGS)

test-slow: $(VENV)/installed-dev ## the others: killed at every statement, random sets, whole runs, a season
	@$(BIN)/python -m pytest -m slow $(ARGS)

test-cluster: $(VENV)/installed-dev ## a season on two Celery workers, S3 and servers that fail; needs Debian's redis-server
	@$(BIN)/python -m pytest -n0 -x -m cluster tests/cluster $(ARGS)

test-browser: $(VENV)/installed-dev ## the pages in a real browser, against a running demo; needs Debian's chromium
	@$(BIN)/python -m pytest -n0 -x -m browser tests/browser $(ARGS)

test-thorough: $(VENV)/installed-dev ## all of them, with every case of which they take samples; an hour and more
	@ROLLOVER_TEST_THOROUGH=1 $(BIN)/python -m pytest $(ARGS)

texts: $(VENV)/installed-dev ## write the examples of the texts that people read again, after a change of their words
	@UPDATE_TEXTS=1 $(BIN)/python -m pytest -q -m "not slow" $$(grep -rl check_example tests --include='test_*.py')

lint: $(VENV)/installed-dev ## ruff, mypy, what may import what, and the district and product files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/rollover lint

format: $(VENV)/installed-dev ## write the code as ruff formats it, with the fixes that are safe
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

bench: $(VENV)/installed-bench ## rates beside other tools and the limits; ARGS="steps", "roster --students 20000", "fetch"
	@$(BIN)/python -m bench $(ARGS)

clean: ## remove what was installed and made
	rm -rf $(VENV) var *.egg-info include/*.egg-info

requirements: ## compile requirements*.in again (needs uv)
	uv pip compile -q --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links requirements.in -o requirements.txt
	uv pip compile -q --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links requirements-dev.in -o requirements-dev.txt
	uv pip compile -q --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links requirements-bench.in -o requirements-bench.txt

$(VENV)/installed: requirements.txt pyproject.toml
	@echo "Installing into $(VENV) (a minute or two)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(VENV)/installed-bench: requirements-bench.txt $(VENV)/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@
