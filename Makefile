# Every target sets up what it needs, from nothing but Python 3.11+ and make, and reuses what is there.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# Models under test are so small that a second process helps and a second thread does not.
WORKERS ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help demo test test-slow test-upstream test-harness lint format bench clean

help:
	@echo "make demo           train and question a small GPT on embedded data (about 5 minutes on 2 cores)"
	@echo "make test           lint and the test suite"
	@echo "make test-slow      the tests marked slow"
	@echo "make test-upstream  transformers' own tests, for every architecture and the tokenizer"
	@echo "make test-harness   the same prompts and scores as lm-evaluation-harness, which it installs"
	@echo "make lint | format | bench | clean"

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@echo "--- setting up $(VENV): a virtual environment with the exact versions of constraints.txt"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "closedbook needs Python 3.11 or newer, this is " + sys.version)'
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	@$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	@echo "--- demo: pretrain, fine-tune, answer, score; results in outputs/demo"
	@$(RUN) scripts/demo.py

test: $(STAMP) lint
	@$(RUN) tests/upstream/fetch.py || echo "--- going on without transformers' own tests"
	@echo "--- tests (set CLOSEDBOOK_CS224N=folder to include those on the reference files)"
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -q -m "not slow" $(WORKERS)

test-slow: $(STAMP)
	@echo "--- slow tests"
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -q -m slow --ignore tests/upstream $(WORKERS)

test-upstream: $(STAMP)
	@$(RUN) tests/upstream/fetch.py
	@echo "--- transformers' own tests of models, configurations, training, tensor parallelism and tokenizers"
	@$(RUN) -m pytest -q -rfE tests/upstream

test-harness: $(STAMP)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,harness]'
	@echo "--- the task exported to lm-evaluation-harness"
	@$(RUN) -m pytest -q -rs tests/evaluation/prompting/test_harness_export.py

# The rooms stand beside each other and are one package: links in one folder show them to the type checker so.
TYPES := .types/closedbook
ROOMS := modeling data evaluation training scripts

lint: $(STAMP)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@mkdir -p $(TYPES)
	@for room in $(ROOMS); do ln -sfn ../../$$room $(TYPES)/$$room; done
	@for file in __init__ __main__ moved; do ln -sfn ../../closedbook/$$file.py $(TYPES)/$$file.py; done
	@MYPYPATH=.types $(RUN) -m mypy --package closedbook

format: $(STAMP)
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

bench: $(STAMP)
	@echo "--- benchmarks: each prints one JSON object as its last line"
	@$(RUN) scripts/benchmarks/training.py
	@$(RUN) scripts/benchmarks/objectives.py
	@$(RUN) scripts/benchmarks/answering.py
	@$(RUN) scripts/benchmarks/confidence.py
	@$(RUN) scripts/benchmarks/incontext.py
	@$(RUN) scripts/benchmarks/architectures.py --lengths 128 512 --seconds 5 --overwrite

clean:
	rm -rf $(VENV) .upstream .types outputs build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
