# Everything a clone needs, from one command each. All of it happens in this folder: packages go into .venv,
# nothing is installed on the system, and only the package index is asked for anything.

VENV := .venv
RUN := $(VENV)/bin/python
# Leave empty to take the first Python 3.11, 3.12 or 3.13 on PATH; or: make test PYTHON=/path/to/python
PYTHON ?=
# Added to pytest by `make test`: make test ARGS="-k store -x"
ARGS ?=
# Two processes share the suite, each with a Prefect server and a cluster of its own. One after the other, and with
# a debugger: make test SPREAD=
SPREAD ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder

export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_USER := 0
# What happens to lie on these paths must not decide which code runs.
unexport PYTHONPATH
unexport PYTHONHOME

.DEFAULT_GOAL := help
# Two installs into one environment at once would trip over each other.
.NOTPARALLEL:
.PHONY: help demo test test-recovery test-faults soak endurance browser screenshots check lint types docs audit
.PHONY: bench bench-grid bench-adaptive bench-tuners bench-scale bench-budgets clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.with-test ## a search on the digits data, in about a minute
	@mkdir -p demo-output # Prefect makes its folder there, but no folder above it
	@PREFECT_HOME="$${PREFECT_HOME:-$(CURDIR)/demo-output/prefect}" $(RUN) examples/01_digits.py

test: $(VENV)/.with-test browser ## the whole test suite
	@$(RUN) -m pytest $(SPREAD) $(ARGS)

test-recovery: $(VENV)/.with-test ## runs that are killed and brought back by automations (minutes)
	@$(RUN) -m pytest -m recovery $(ARGS)

test-faults: $(VENV)/.with-test ## the fault matrix: everything that can be killed, cut off or spoilt (minutes)
	@$(RUN) -m pytest -m faults $(ARGS)

# Each seed is a search in a world without a clock, whose faults it draws; `make test` runs some hundreds of them.
SEEDS ?= 10000
PAIRS ?= 1000000
soak: $(VENV)/.with-test ## simulated searches under faults, SEEDS of each kind, and PAIRS of values (half an hour)
	@$(RUN) tests/simulation/soak.py --seeds $(SEEDS) $(ARGS)
	@PAIRS=$(PAIRS) $(RUN) -m pytest -q -n 0 tests/pure/identity/test_near.py

endurance: $(VENV)/.with-test ## hours of searches with faults in one process, which may not grow (two hours)
	@$(RUN) tests/faults/endurance.py $(ARGS)

browser: # Chromium for the browser tests, where it can be installed
	@tests/browser/install_chromium.sh

screenshots: $(VENV)/.with-test browser ## the pictures of Prefect's UI in the documentation
	@TUNE_SCREENSHOTS="$(CURDIR)/docs/images" $(RUN) -m pytest -q tests/browser

check: lint types $(VENV)/.with-test ## lint, format, types, architecture and documentation
	@$(RUN) -m pytest -q tests/test_architecture.py tests/documentation/test_pages.py

lint: $(VENV)/.with-check
	@echo "ruff: rules and format"
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

# The folders flows, tasks and blocks are parts of prefect_tune only once installed, and a type checker does
# not follow the editable install's import hook. A folder of links shows it the package as users see it
# (decision 0001).
types: $(VENV)/.with-check
	@echo "mypy"
	@rm -rf build/typed && mkdir -p build/typed/prefect_tune
	@for part in prefect_tune/* flows tasks blocks; do ln -s "$(CURDIR)/$$part" build/typed/prefect_tune/; done
	@$(RUN) -m mypy

# Worth a command, since the list of packages is long and cheap to ask about; no part of `make test`, since what a
# database learns tomorrow is no fault of this code. Where it cannot be asked, or knows none of the packages, as
# behind a mirror, that is said: SKIPPED, and nothing is claimed.
audit: $(VENV)/.with-test ## known vulnerabilities of what is installed, where a database can be asked
	@$(RUN) tests/audit.py

docs: $(VENV)/.with-docs ## the documentation as a site in build/site; a warning is an error
	@$(RUN) -m sphinx -q -W --keep-going -d build/site-read -c docs . build/site
	@echo "build/site/docs/index.html"

bench: $(VENV)/.with-bench ## all benchmarks, and docs/benchmarks.md of them (an hour; ARGS="--sizes all": hours)
	@$(RUN) benchmarks/page.py $(ARGS)

bench-grid: $(VENV)/.with-bench ## the grid search side by side with scikit-learn and dask-ml
	@$(RUN) benchmarks/grid_search.py

bench-adaptive: $(VENV)/.with-bench ## Hyperband against dask-ml, no pruning, kills, large files, 64 workers
	@$(RUN) benchmarks/adaptive.py

bench-tuners: $(VENV)/.with-bench ## searches over any objective: on tables, beside Ray Tune and Optuna, killed
	@$(RUN) benchmarks/tuners.py

bench-scale: $(VENV)/.with-bench ## what planning and driving cost as a search grows, up to 10^5 candidates
	@$(RUN) benchmarks/scale.py $(ARGS)

bench-budgets: $(VENV)/.with-bench ## what the identity and the storage of one step cost, each beside its budget
	@$(RUN) benchmarks/budgets.py $(ARGS)

clean: ## remove .venv and everything that was built or cached here
	rm -rf $(VENV) build dist demo-output *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment holds absolute paths: one that was copied or moved together with its folder would run the
# code of the old place. So it remembers where it was made, and is made anew anywhere else.
SOUND := $(shell [ "$$(cat $(VENV)/.made-in 2>/dev/null)" = "$(CURDIR)" ] && $(RUN) -c '' 2>/dev/null && echo yes)
ifneq ($(SOUND),yes)
.PHONY: $(VENV)/.made-in
endif

$(VENV)/.made-in:
	@python=""; \
	for name in $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python); do \
		if "$$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
			>/dev/null 2>&1; then python="$$name"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "No usable Python found (tried: $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python))." >&2; \
		echo "prefect-tune needs Python 3.11, 3.12 or 3.13 with its venv module (Debian: package python3-venv)." >&2; \
		echo "Put one on PATH, or name it: make PYTHON=/path/to/python ..." >&2; \
		exit 1; \
	fi; \
	echo "creating $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv --clear $(VENV)
	@printf '%s' "$(CURDIR)" > $@

# One stamp for each set of extras; a changed requirement or pin installs again.
$(VENV)/.with-%: $(VENV)/.made-in pyproject.toml constraints.txt
	@echo "installing prefect-tune[$*] into $(VENV) (about a minute the first time)"
	@$(RUN) -m pip install -qq --progress-bar off -c constraints.txt -e '.[$*]' || { \
		echo "The installation failed. To see more of it:" >&2; \
		echo "$(RUN) -m pip install -c constraints.txt -e '.[$*]'" >&2; exit 1; }
	@touch $@
