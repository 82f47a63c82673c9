# The two commands of this project: `make demo` and `make test`. A fresh machine needs python3 and make only.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench llm catalogue lock offline system clean

demo: $(VENV)/.installed
	-@sh tests/install_system.sh mosquitto 2>/dev/null
	$(BIN)/yanshou demo

# Most tests wait for servers, so more of them run at once than there are cores; those that measure milliseconds follow one by one.
# What fails is run again, once or twice, and printed as R: a shared machine stops now and then for longer than what is measured.
test: system $(VENV)/.tested lint
	status=0; \
	$(BIN)/python -m pytest -n 4 --dist loadfile -m "not alone" --reruns 1 || status=1; \
	$(BIN)/python -m pytest -m alone --reruns 2 --reruns-delay 5 || status=1; \
	exit $$status

lint: $(VENV)/.tested
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: system $(VENV)/.tested
	sh tests/install_bench.sh
	$(BIN)/python -m tests.benchmarks

# A real language model behind llama.cpp's server, 250 MB: its tests, then a whole case of it to a report in REPORT.
REPORT ?= demo/llm
llm: $(VENV)/.tested
	sh tests/install_llama.sh $(VENV)/llama $(BIN)/python
	YANSHOU_LLAMA=$(VENV)/llama $(BIN)/python -m pytest tests/e2e/test_llama.py
	YANSHOU_LLAMA=$(VENV)/llama $(BIN)/python -m tests.llama $(REPORT)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml requirements.lock | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/.tested: requirements-test.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	touch $@

# What the tests drive for real and pip cannot bring: network namespaces, a PDF reader, a browser, an independent signer, a chain.
system: $(VENV)/bin/python
	sh tests/install_system.sh
	sh tests/install_node.sh $(VENV)/node

# The messages of the English edition, from the sources: translate what it lists, then run it again.
catalogue: $(VENV)/.tested
	$(BIN)/python -m tests.catalogue update

# Hashed requirements without addresses; needs uv.
lock:
	uv export --quiet --no-emit-project --no-dev --extra guomi --no-annotate --no-header -o requirements.lock
	uv export --quiet --no-emit-project --only-dev --no-annotate --no-header -o requirements-test.lock
	uv export --quiet --no-emit-project --no-dev --all-extras --no-annotate --no-header -o requirements-site.lock
	rm -f uv.lock

# One archive for a laptop without internet: wheels for Linux and Windows, documents, installer.
offline: $(VENV)/.installed
	$(BIN)/python offline/build.py

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .import_linter_cache
