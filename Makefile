# The project's commands. Needed beforehand: make, git and a python3 of 3.11 or newer; everything else is brought.

PYTHON ?= python3
# So many processes run the tests: they wait more than they compute. One that dies ends the run: with another in its
# place, pytest-xdist waits for ever when it was one of the last.
TESTERS ?= 2
ENVIRONMENTS := demo dev docs celery56 celery57 bench arq
SOURCES := $(wildcard umbel tests tools examples bench)

# "IN_dev program …" runs a program inside the environment "dev", which is made first where it is missing.
IN_dev := $(PYTHON) tools/environment.py dev --
IN_demo := $(PYTHON) tools/environment.py demo --
IN_docs := $(PYTHON) tools/environment.py docs --
IN_bench := $(PYTHON) tools/environment.py bench --

.DEFAULT_GOAL := help
.PHONY: help demo check test-fast test docs bench soak format lock clean environments

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /    make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

demo: ## see it work: a page whose buttons start tasks; PORT=8000 says where
	@$(IN_demo) umbel demo $(if $(PORT),--port $(PORT))

check: ## format, lint, types, floors, sizes: within a minute
	$(IN_dev) ruff format --check $(SOURCES)
	$(IN_dev) ruff check $(SOURCES)
	$(IN_dev) mypy $(SOURCES)
	$(IN_dev) lint-imports --no-logo
	$(IN_dev) python -m pytest -q tests/architecture

test-fast: ## the tests that need no server and no patience
	$(IN_dev) python -m pytest -n $(TESTERS) --dist loadfile --max-worker-restart=0 -m "not server and not slow"

test: ## everything, on a machine that has nothing yet
	$(PYTHON) tools/debian.py
	@$(MAKE) --no-print-directory environments
	@$(MAKE) --no-print-directory check
	$(IN_dev) python -m pytest -n $(TESTERS) --dist loadfile --max-worker-restart=0

docs: ## the documentation as a site, in site/
	@$(IN_docs) sphinx-build --fresh-env --fail-on-warning --keep-going --nitpicky --quiet -c docs -d .sphinx . site
	@echo "open site/index.html"

bench: ## figures, beside those of another queue
	@$(IN_bench) python -m bench

soak: ## a million tasks through one worker: nothing may grow
	@$(IN_bench) python -m bench.soak

format: ## lay out the code and mend what a tool can mend
	$(IN_dev) ruff format $(SOURCES)
	$(IN_dev) ruff check --fix $(SOURCES)

environments: ## make every virtual environment below .venvs
	@$(PYTHON) tools/environment.py $(ENVIRONMENTS) > /dev/null

lock: ## pin requirements/*.in anew; UPGRADE=1 takes the newest versions
	$(PYTHON) tools/environment.py --lock $(if $(UPGRADE),--upgrade)

clean: ## remove everything that is made, the environments too
	rm -rf .venvs .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .sphinx dist site
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
