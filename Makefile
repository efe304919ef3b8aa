# make demo   sets everything up and runs the main job: a real model, a real device, numbers and a verdict
# make test   sets everything up and passes the tests
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test venv
venv: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=24'
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

test: venv
	$(BIN)/pytest
