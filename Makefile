# make demo   a clip made by the code, from nothing but Python and make
# make test   the test suite
# make fuzz   damaged files for every reader, MUTANTS of each (about twenty minutes)
# make lint   style and types
# make docs   the documentation as a site, in site/
# make bench  speed and memory of this machine
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
WORKDIR ?= runs/demo
JOBS ?= 2
MUTANTS ?= 2000

.PHONY: demo test fuzz lint docs bench clean

PAGES := README.md CONTRIBUTING.md CHANGELOG.md CITATION.cff docs data/README.md data/demo/README.md

$(VENV)/installed: setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lumiere_jax needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable '.[test]'
	@touch $@

demo: $(VENV)/installed
	WORKDIR=$(WORKDIR) PYTHON=$(RUN) bash launch/demo.sh

test: $(VENV)/installed
	$(RUN) -m pytest -n $(JOBS) -m 'not slow and not gpu'
	$(RUN) -m tests.fuzz --jobs=$(JOBS) --mutants=30

fuzz: $(VENV)/installed
	$(RUN) -m tests.fuzz --jobs=$(JOBS) --mutants=$(MUTANTS)

lint: $(VENV)/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

$(VENV)/installed-docs: $(VENV)/installed
	$(RUN) -m pip install --quiet --editable '.[docs]'
	@touch $@

# The documents keep their relative places, so that the same links work in the repository and on the site.
docs: $(VENV)/installed-docs
	rm -rf build/docs && mkdir -p build/docs
	tar -cf - $(PAGES) | tar -xf - -C build/docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict
	@echo site/index.html

bench: $(VENV)/installed
	$(RUN) -m benchmarks.speed

clean:
	rm -rf $(VENV) build dist site *.egg-info
