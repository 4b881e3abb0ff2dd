# `make chat` and `make test` need Python 3.11 or later, make and git; they install the rest.
# The first Python that is new enough; name another with PYTHON=...
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3 python3.14,\
	$(shell command -v $(name) >/dev/null 2>&1 && \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
PROMPT ?= What is the capital of Japan?
VENV := .venv
FLOOR := .venv-floor
BENCH := .venv-bench
BIN := $(VENV)/bin
# Each file in one worker. The embedded engine needs a core of its own, so there are no more workers
# than cores, and one: tests wait for sockets, processes and time limits.
PARALLEL := --numprocesses 3 --dist loadfile
# Tests that do not depend on the versions of tests/floor.txt.
FLOOR_IGNORES := cassettes local prompts protocol ray transport test_documents.py test_package.py
# Tests start many processes, which share compiled modules.
unexport PYTHONDONTWRITEBYTECODE
PIP_QUIET := --quiet --disable-pip-version-check
# Python compiles the modules that are imported, of which there are far fewer than installed ones.
PIP_FAST := $(PIP_QUIET) --no-compile

.PHONY: chat help test lint format docs notebooks unit floor integration faults bench bench-full bench-quality record clean
.DEFAULT_GOAL := chat

chat: $(VENV)/.local ## ask the model: make chat PROMPT="..."
	@$(BIN)/langchain-voxtral chat "$$PROMPT"
export PROMPT

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

test: ## all checks; ends with pytest's summary of unit and integration tests
	$(MAKE) --jobs=2 lint docs floor
	$(BIN)/python -m pytest $(PARALLEL)

lint: $(VENV)/.dev ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## rewrite the code in the style that lint asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## build the documents into build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/docs

notebooks: $(VENV)/.dev ## execute the notebooks and store their outputs
	$(BIN)/python tests/execute_notebooks.py

unit: $(VENV)/.dev ## the tests that need no engine
	$(BIN)/python -m pytest $(PARALLEL) tests/unit_tests

floor: $(FLOOR)/.dev ## the unit tests of what uses langchain-core and PyAV, on their oldest supported versions
	$(FLOOR)/bin/python -m pytest -q $(PARALLEL) --hypothesis-profile=quick tests/unit_tests $(foreach path,$(FLOOR_IGNORES),\
		--ignore=tests/unit_tests/$(path))

integration: $(VENV)/.dev ## the tests on the embedded engine
	$(BIN)/python -m pytest $(PARALLEL) tests/integration_tests

faults: $(VENV)/.dev ## run every fault of tests/support/faults in all call modes and print the outcomes
	$(BIN)/python tests/print_faults.py

bench: $(BENCH)/.bench ## what a token, a call and a row of a dataset cost, beside other clients of LangChain, in minutes
	$(BENCH)/bin/python -m benchmarks.peers
	$(BENCH)/bin/python -m benchmarks.datasets

bench-full: $(BENCH)/.bench ## the same in some twenty minutes; writes benchmarks/results
	$(BENCH)/bin/python -m benchmarks.peers --full --output benchmarks/results
	$(BENCH)/bin/python -m benchmarks.datasets --full --output benchmarks/results

bench-quality: $(VENV)/.dev ## the call path of a token, and how well the embedded engine answers
	$(BIN)/python benchmarks/call_path.py
	$(BIN)/python benchmarks/token_cost.py
	$(BIN)/python benchmarks/answers.py
	$(BIN)/python benchmarks/structured_answers.py
	$(BIN)/python benchmarks/tool_calls.py
	PYTHONPATH=tests $(BIN)/python benchmarks/word_errors.py

record: $(VENV)/.dev ## record the cassettes again: from the engine, and from DeepInfra if a key is set
	$(BIN)/python tests/record.py embedded
	$(BIN)/python tests/record.py hosted
	$(BIN)/python -m pytest -m live tests/live

# What is installed: .local for use, .dev for tests, .bench for the comparison. Each once, until its list changes.
# A new pip takes half the time of the one that comes with Python 3.11.
define new-venv
@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; name one with PYTHON=..."; exit 1; }
$(PYTHON) -m venv $(1)
$(1)/bin/python -m pip install $(PIP_FAST) -c constraints.txt pip
endef

$(VENV)/.python:
	$(call new-venv,$(VENV))
	@touch $@

$(VENV)/.local: $(VENV)/.python pyproject.toml constraints.txt
	$(BIN)/python -m pip install $(PIP_FAST) -c constraints.txt -e ".[local]"
	$(BIN)/python -m langchain_voxtral.local.weights text
	@touch $@

# One run of pip installs what .local has, too.
$(VENV)/.dev: $(VENV)/.python pyproject.toml constraints.txt
	$(BIN)/python -m pip install $(PIP_FAST) -c constraints.txt -e ".[local-speech,dev]"
	$(BIN)/python -m langchain_voxtral.local.weights all
	@touch $(VENV)/.local $@

$(FLOOR)/.dev: pyproject.toml tests/floor.txt
	$(call new-venv,$(FLOOR))
	$(FLOOR)/bin/python -m pip install $(PIP_FAST) -r tests/floor.txt -e ".[audio]"
	@touch $@

$(BENCH)/.bench: pyproject.toml constraints.txt
	$(call new-venv,$(BENCH))
	$(BENCH)/bin/python -m pip install $(PIP_QUIET) -c constraints.txt -e ".[bench,fast]"
	@touch $@

clean: ## remove what was installed here
	rm -rf $(VENV) $(FLOOR) $(BENCH)
