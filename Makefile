# Umbel's few chores. `make help` lists them; each installs what it needs from PyPI and npm, and asks nothing.

PYTHON ?= python3
# Files of tests that run at once: most of their time is waiting for servers.
JOBS ?= 3
UV_VERSION := 0.13.9

VENV := .venv
BIN := $(VENV)/bin
VENDOR := src/umbel/web/static/vendor
# uv puts what uv.lock names into the environment that we made, found by its place whatever else is active.
export UV_PROJECT_ENVIRONMENT := $(VENV)
# Where this is set, each process that a test starts compiles every module anew: more than half of its start.
unexport PYTHONDONTWRITEBYTECODE
# Trust the certificates that the system trusts: behind a proxy that is what the owner set up.
export UV_SYSTEM_CERTS := 1
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)

# Stamps: a second `make dev` or `make assets` has nothing to do.
VENV_STAMP := $(VENV)/.made
DEV_STAMP := $(VENV)/.synced
BENCH_STAMP := $(VENV)/.synced-bench
ENGINES_STAMP := $(VENV)/.synced-engines
DOCS_STAMP := $(VENV)/.synced-docs
ASSETS_STAMP := $(VENDOR)/htmx.min.js

.DEFAULT_GOAL := help
.PHONY: help dev demo test engines drill lint audit assets package docs docs-serve screenshots bench bench-answers bench-flower clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: $(DEV_STAMP) ## make .venv with everything to run and develop Umbel; leaves .venv/bin/umbel

demo: dev assets ## run Umbel on a shop's tasks at http://127.0.0.1:5555; Ctrl-C ends it
	@exec $(BIN)/umbel demo

test: dev engines assets ## run every test, the slow ones and the browser's too; TESTS="..." passes arguments to pytest
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS)

drill: dev assets ## run the long drills, hours of them; TESTS="-k soak" chooses
	$(BIN)/python -m pytest -m drill tests -s $(TESTS)

lint: dev ## check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

audit: dev ## look what uv.lock names up among known weaknesses; needs pypi.org, and says so where that is not to be had
	$(UV) sync --frozen --inexact --quiet --group audit
	@$(BIN)/python scripts/audit.py $(UV)

engines: $(ENGINES_STAMP)

assets: $(ASSETS_STAMP) ## fetch htmx and uPlot by npm and put them where the pages look

package: assets ## build wheel and sdist, the same bytes each time, and the list of what is in them (SBOM), into dist/
	@rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 315532800) $(UV) build --quiet --out-dir dist
	$(UV) export --quiet --frozen --no-default-groups --all-extras --format cyclonedx1.5 --output-file dist/sbom.cdx.json
	@cd dist && sha256sum *

docs: $(DOCS_STAMP) ## build the documentation's site into build/site, warnings as errors
	$(BIN)/python scripts/site_pages.py
	$(BIN)/zensical build --strict --clean

docs-serve: $(DOCS_STAMP) ## show the documentation's site at http://127.0.0.1:8000; `make docs` beside it brings what changed
	$(BIN)/python scripts/site_pages.py
	$(BIN)/zensical serve --dev-addr 127.0.0.1:8000

screenshots: dev assets ## run the demo and take pictures of every page into build/screenshots, some minutes
	$(BIN)/python scripts/screenshots.py

bench: dev $(BENCH_STAMP) ## measure: events/s and CPU time per event
	@set -e; for script in $(filter-out bench/answers.py bench/flower.py bench/load.py,$(wildcard bench/*.py)); do echo "== $$script"; $(BIN)/python "$$script"; done

bench-answers: dev assets $(BENCH_STAMP) ## measure every page at a million tasks under 5,000 events/s, ten minutes the first time
	$(BIN)/python bench/answers.py --keep build/answers $(BENCH)

bench-flower: dev assets $(BENCH_STAMP) ## measure Flower and Umbel in turn, 20 minutes; BENCH="--quick" takes three or four
	$(BIN)/python bench/flower.py $(BENCH)

clean: ## remove what make has made
	rm -rf $(VENV) $(VENDOR) node_modules dist build .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Umbel needs Python 3.11 or later; $(PYTHON) is not. Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make an environment. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@test -x "$(UV)" || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

$(DEV_STAMP): $(VENV_STAMP) pyproject.toml uv.lock
	$(UV) sync --frozen --inexact --quiet --extra demo --extra top --extra parquet --extra alerts --extra mcp --extra otel --extra sentry
	@touch $@

# ClickHouse's engine (600 MB), linters of the image and the chart, Flower, and what builds the documentation: where they cannot be had, their tests say so (and fail in CI).
$(ENGINES_STAMP): $(DEV_STAMP)
	@$(UV) sync --frozen --inexact --quiet --extra demo --group clickhouse --group packaging --group bench --group docs && touch $@ || \
	  echo "ClickHouse's engine and the linters of the packages could not be installed; their tests will say so" >&2

$(DOCS_STAMP): $(DEV_STAMP)
	$(UV) sync --frozen --inexact --quiet --extra demo --extra top --extra parquet --group docs
	@touch $@

$(BENCH_STAMP): $(DEV_STAMP)
	$(UV) sync --frozen --inexact --quiet --extra demo --extra top --extra parquet --extra alerts --extra mcp --extra otel --extra sentry --group bench
	@touch $@

$(ASSETS_STAMP): package.json package-lock.json scripts/assets.py
	@command -v npm >/dev/null || \
	  { echo "npm is missing: the pages' htmx and uPlot come from it. Install Node.js (Debian: apt-get install npm)." >&2; exit 1; }
	npm ci --ignore-scripts --no-audit --no-fund --silent
	@$(PYTHON) scripts/assets.py
