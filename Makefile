# Needs make and Python 3.11 or newer; everything else is installed into .venv on first use.
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11
# The first of them that is new enough; looked up only when .venv has to be made.
PYTHON ?= $(firstword $(foreach name,$(PYTHONS),$(shell $(name) -c \
	'import sys; sys.version_info >= (3, 11) and print(sys.executable)' 2>/dev/null)))
VENV := .venv
# Of each version the first that runs: those on the path, and those that pyenv keeps to itself.
VERSIONS := 3.11 3.12 3.13 3.14
INTERPRETERS = $(foreach version,$(VERSIONS),$(firstword $(foreach candidate,python$(version) \
	$(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/$(version)*/bin/python$(version)),$(shell \
	$(candidate) -c 'import sys; print(sys.executable)' 2>/dev/null))))
BIN := $(VENV)/bin
# uv is fast but knows neither pip.conf nor the system's certificates, hence pip as the second try.
install = { command -v uv >/dev/null && uv pip install --quiet --python $(BIN)/python $(1); } \
	|| $(BIN)/python -m pip install --quiet $(1)

# Written by npm; without npm the contestants in Node are left out.
NODE := benchmarks/node/node_modules/.package-lock.json
# The readers of web pages, as npm has them; without npm their tests are skipped.
PAGES := tests/node/node_modules/.package-lock.json
# The conformance suite of MCP; the same goes for it.
CONFORMANCE := tests/conformance/node_modules/.package-lock.json

# The page of `zai ui`; without npm its tests are skipped.
BUNDLE := zai_async/web/ui/dist/index.html

# Of the tests at once, three for two cores: half of their time they wait for something.
WORKERS ?= $(shell echo $$(( ($$(getconf _NPROCESSORS_ONLN || echo 2) * 3 + 1) / 2 )))

# Seconds for each target.
FUZZ ?= 60

# Some machines forbid Python to keep what it has compiled; each of the tests' hundred processes would
# then compile the package again.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/bytecode

.PHONY: all ci demo ui test coverage test-thorough test-ray test-extras test-all test-sdist audit check format bench bench-guard charts fuzz interop docs clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

all: check test

# What the continuous integration runs. The records of the guard belong to one build of Python, so
# another one only prints its counts.
ci: check
	$(MAKE) coverage
	$(MAKE) test-thorough ARGS="--hypothesis-profile=gate --only-more"
	$(MAKE) bench-guard || echo "the counts of instructions differ from the records" >&2

demo: $(VENV)/.demo
	$(BIN)/zai chat --emulate "Explain SSE in two sentences, with a code sample." </dev/null

ui: $(BUNDLE)
	@test -e $(BUNDLE) || { echo "the page needs npm, and a registry of its packages" >&2; exit 1; }

# Coverage takes a third as much again, so it is measured when asked for: `make test COVERAGE=1`.
test: $(VENV)/.test $(PAGES)
	$(if $(COVERAGE),$(BIN)/coverage erase)
	$(BIN)/$(if $(COVERAGE),coverage run,python) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)
	$(if $(COVERAGE),$(BIN)/coverage combine --quiet)
	$(if $(COVERAGE),$(BIN)/coverage report)

# With the packages of integrations: without them theirs would not be covered.
coverage: $(VENV)/.thorough $(BUNDLE) $(CONFORMANCE)
	$(MAKE) test COVERAGE=1

# Everything of which `make test` tries a sample, and the tests that need the packages of integrations.
test-thorough: $(VENV)/.thorough $(PAGES) $(BUNDLE) $(CONFORMANCE)
	ZAI_TESTS=thorough $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

# What runs on a cluster of Ray: two actors on this machine, of which one is killed.
test-ray: $(VENV)/.ray
	$(BIN)/python -m pytest -m ray tests/test_integrations_ray.py $(ARGS)

# What pip makes of `zai-async[all]`, with every interpreter at hand: minutes, and a registry.
test-extras: $(VENV)/.test
	$(BIN)/python -m pytest -m extras tests/test_extras.py $(ARGS)

# Every interpreter at hand, each with a virtual environment of its own.
test-all:
	@set -e; for python in $(INTERPRETERS); do \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		$(MAKE) test VENV=.venv-$$version PYTHON=$$python; \
	done

# The tests of the archive that is released, from the archive alone.
test-sdist: $(VENV)/.release
	rm -rf dist/source
	$(BIN)/python -m build --sdist --outdir dist/source
	tar -xzf dist/source/*.tar.gz -C dist/source --strip-components=1
	$(MAKE) -C dist/source test PYTHON=$(CURDIR)/$(BIN)/python

# What is known against our dependencies, and what the workflows would let strangers do.
audit: $(VENV)/.test $(VENV)/.release
	$(BIN)/zizmor --offline .github
	$(BIN)/python -m pip freeze --exclude-editable >$(VENV)/audited.txt
	# Strictly: a registry that keeps no advisories would pass for one that knows of none.
	$(BIN)/pip-audit --strict --disable-pip --no-deps --requirement $(VENV)/audited.txt

check: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/basedpyright

format: $(VENV)/.dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(VENV)/.bench $(VENV)/.charts $(NODE)
	$(BIN)/python -m benchmarks $(ARGS)
	$(BIN)/python -m benchmarks.batch
	$(BIN)/python -m benchmarks.relay
	$(BIN)/python -m benchmarks.charts --results benchmarks/results.json --pictures benchmarks/pictures

bench-guard: $(VENV)/.test
	$(BIN)/python -m benchmarks.guard $(ARGS)

# Publishes the last whole run: in benchmarks/published.json, on docs/scale.md and as pictures.
charts: $(VENV)/.charts
	$(BIN)/python -m benchmarks.publish
	$(BIN)/python -m benchmarks.charts
	$(BIN)/python -m benchmarks.scale --write

fuzz: $(VENV)/.fuzz
	for target in parser chunks streams faults; do \
		$(BIN)/python -m fuzz $$target -max_total_time=$(FUZZ) || exit; \
	done

interop: $(VENV)/.test
	$(BIN)/python -m pytest -m interop tests/interop $(ARGS)

docs: $(VENV)/.docs
	$(BIN)/zensical build --clean --strict

clean:
	rm -rf dist site .fuzz .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

%/node_modules/.package-lock.json: %/package-lock.json
	if command -v npm >/dev/null; then cd $(<D) && npm ci --ignore-scripts --no-audit --no-fund || true; fi

$(BUNDLE): ui/node_modules/.package-lock.json ui/package.json ui/build.mjs $(wildcard ui/src/*)
	if [ -e $< ]; then cd ui && node build.mjs; fi

# pip 25.1 is the first that knows dependency groups.
$(VENV)/.pip:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none of these is: $(PYTHONS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.demo: pyproject.toml | $(VENV)/.pip
	$(call install,--editable .)
	@touch $@

$(VENV)/.%: pyproject.toml | $(VENV)/.pip
	$(call install,--editable . --group $*)
	@touch $@
