# demo · test · check · bench. Everything is installed into .tools/ and .venv/; nothing else is needed but Python >= 3.11.

PYTHON ?= python3
UV_VERSION := 0.13.8
UV := .tools/bin/uv
BIN := .venv/bin
MEMBERS := contracts chassis embedded_kafka forms services/trainer services/gatekeeper services/serving services/drift gauntlet client examples
POLICY := services/trainer/src/trainer/policy.py services/serving/src/serving/policy services/drift/src/drift/policy services/gatekeeper/src/gatekeeper/policy
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install demo test timings test-all check lint isolated audit sbom docs bench lock clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/.installed ## the locked environment, into .venv

.venv/.installed: Makefile requirements.lock pyproject.toml $(MEMBERS:%=%/pyproject.toml) | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	@# Bytecode at once: without it every process that is started compiles for itself what it imports, and no
	@# installation that was made for another user or read-only ever keeps it. It makes every import 2.5 to 3 times faster.
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/python -m compileall -q $(MEMBERS)
	@touch $@

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(f"Python >= 3.11 is needed, this is {sys.version.split()[0]}: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

demo: install ## the whole story on real data: a model trained, gated, promoted, drifting, replaced under traffic
	$(BIN)/gauntlet demo

test: install lint ## the checks that take seconds, then every test, against a real Kafka and both databases
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not exhaustive"

timings: install ## which files of tests take how long: what tests/support/longest.py holds
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not exhaustive" --junitxml=.pytest_cache/timings.xml
	PYTHONPATH=tests $(BIN)/python -m support.longest .pytest_cache/timings.xml

test-all: install ## also full grids and long simulations, of which `make test` keeps a part
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: install lint isolated ## all static rules: lint, format, types, imports, each member imported in its own closure

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy contracts/src chassis/src forms/src client/src
	$(BIN)/mypy --strict --follow-imports=silent $(POLICY)
	$(BIN)/lint-imports --no-cache

isolated: install ## each member in an environment of its own, so that an undeclared dependency is caught
	$(BIN)/python tests/isolated_imports.py $(UV) $(MEMBERS)

audit: install ## known vulnerabilities of the lock, but for those in vulnerabilities.toml; ADVISORIES=FOLDER needs no network
	PYTHONPATH=tests $(BIN)/python -m support.audit $(ADVISORIES)

sbom: install ## what the image holds: sbom.cdx.json, a CycloneDX bill of materials
	$(BIN)/python deploy/sbom.py requirements.lock --output sbom.cdx.json

docs: install ## what is generated: schemas, AsyncAPI, .env.example, docs/reference, the names that leave the code
	$(BIN)/python -m contracts.schema
	$(BIN)/python -m chassis.asyncapi trainer gatekeeper serving drift
	$(BIN)/python -m chassis.env_example trainer gatekeeper serving drift > .env.example
	$(BIN)/python -m docs.generate
	PYTHONPATH=tests $(BIN)/python -m support.wire_names

bench: install ## the measures that the documentation quotes
	PYTHONPATH=tests $(BIN)/python -m benchmarks

lock: $(UV) ## the newest versions within the bounds, pinned with their hashes, for any index
	rm -f uv.lock
	$(UV) export --quiet --all-packages --all-groups --no-header --output-file requirements.lock
	rm -f uv.lock

clean: ## remove what was installed and what a stack left here
	rm -rf .venv .tools .gauntlet
