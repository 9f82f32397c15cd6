# make demo   a clip made by the code, from nothing but Python and make
# make test   the test suite
# make fuzz   damaged files for every reader, MUTANTS of each (about twenty minutes)
# make lint   style and types
# make bench  speed and memory of this machine
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
WORKDIR ?= runs/demo
JOBS ?= 2
MUTANTS ?= 2000

.PHONY: demo test fuzz lint bench clean

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

bench: $(VENV)/installed
	$(RUN) -m benchmarks.speed

clean:
	rm -rf $(VENV) build dist *.egg-info
