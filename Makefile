# `make help` lists the targets. Recipes of several lines are scripts in scripts/.
.DEFAULT_GOAL := help
.PHONY: help up screens test test-fast test-pythons test-engines lint images bench chaos attack clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

up: ## set up a fresh checkout and serve the dashboard on http://127.0.0.1:8000
	@exec scripts/up.sh

test: ## all tests: unit, real engine, real browser
	@exec scripts/test.sh

test-fast: ## the tests that need no engine and no browser, less the long ones
	@scripts/venv.sh dev
	@.venv/bin/python -m pytest -n 2 -m "not long and not chaos" tests/unit

test-pythons: ## the unit tests on every other supported Python that is installed
	@exec scripts/pythons.sh

test-engines: ## sandbox, hostile scripts, networks, recovery and images on a newer Docker Engine (root on Debian)
	@exec scripts/test_engines.sh

lint: ## style, types, import layers, missing migrations
	@exec scripts/lint.sh

images: ## build the runner and sidecar images
	@scripts/venv.sh
	@scripts/engine.sh ensure
	@.venv/bin/python manage.py images build

bench: ## benchmarks, compared with docker in the same run (BENCH="first_line many ...")
	@scripts/venv.sh dev
	@scripts/engine.sh ensure
	@.venv/bin/python manage.py images build
	@.venv/bin/python -m bench $(BENCH)

screens: ## pictures of every page, on demo data, into docs/screens (SCREENS="home run-*")
	@scripts/venv.sh dev
	@scripts/engine.sh ensure
	@.venv/bin/python manage.py images build
	@.venv/bin/python scripts/screens.py $(SCREENS)

chaos: ## the exhaustive tests; kill, freeze and restart all parts while runs are live (CHAOS_RUNS, CHAOS_SECONDS, CHAOS_SEED)
	@scripts/venv.sh dev
	@scripts/engine.sh ensure
	@exports=$$(scripts/services.sh ensure) && eval "$$exports" \
	  && .venv/bin/python -m pytest -n 2 -m chaos tests/unit && .venv/bin/python -m pytest -m chaos tests/engine \
	  && CRONIUM_TEST_STORM_RUNS=100 .venv/bin/python -m pytest tests/engine/test_log_torture.py && .venv/bin/python -m tests.chaos

attack: ## attack a server on loopback and measure its pages, log and resources (ATTACK="requests heads", ATTACK_DESCRIPTORS=1024, ATTACK_SCALED=1)
	@scripts/venv.sh dev
	@scripts/engine.sh ensure
	@if [ -n "$$ATTACK_SCALED" ]; then eval "$$(scripts/services.sh ensure)"; fi; .venv/bin/python -m tests.attack

clean: ## remove .venv, caches and the test services; keeps your data
	@scripts/services.sh stop
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .test-engine test-results
	@find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +
