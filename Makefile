# The commands of the README. Everything is installed into .venv, once; what is asked for is built when it is missing.
#
#   make quickstart    set up, customise a GAN with drawn sketches, say where the result is
#   make test          set up, run all tests: units, browser, notebooks
#   make lint          lines of at most 120 columns, import order, unused names (ruff)
#   make test-compat   the browser test in Jupyter Notebook 7 with a kernel of the series 6, in an environment of its own
#   make lab           open JupyterLab on the first notebook
#   make weights       train what ships in data/weights again (hours on two cores, see data/README.md); weights-hands: the hands
#   make bench         run every benchmark behind a number in the README
#   make notebooks     run all notebooks at full size and save their outputs
#   make clean         remove outputs and caches (make clean-all: the virtual environment too)
#
# PYTHON=python3.12               the interpreter that makes the virtual environment
# TORCH_INDEX=https://...         where torch, and only torch, comes from
# MINUTES=10                      of training in the quickstart; 3 without it
# WORKERS=1                       processes that share the tests, of one thread each; 2 without it
# PIP_FIND_LINKS, PIP_INDEX_URL   are pip's own, and honoured as always

SHELL := bash
PYTHON ?= python3
TORCH_INDEX ?=
MINUTES ?= 3
WORKERS ?= 2
OPEN := $(if $(filter Darwin,$(shell uname -s)),open,xdg-open)
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check

.PHONY: help install install-core quickstart test lint test-units test-browser test-notebooks test-compat lab weights weights-hands bench notebooks clean clean-all
help:
	@sed -n '3,11s/^#   //p' Makefile

# --- Set-up: interpreter, torch, the rest. Each step leaves a stamp, so that a second call takes no time. -------------

$(PY):
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.exit(0 if v in ("3.11", "3.12", "3.13") else "sketchgan needs Python 3.11 to 3.13, and $(PYTHON) is " + v + ": try make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Could not make $(VENV). On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

# torch goes in first and alone: whatever came before it could pull another build. An index of the user's serves torch
# only, since such indexes hold little else.
$(VENV)/.torch: constraints.txt | $(PY)
ifeq ($(TORCH_INDEX)$(PIP_FIND_LINKS)$(shell uname -s),Linux)
	@echo "Installing torch. On Linux the plain package brings CUDA along, several gigabytes. Without an NVIDIA GPU, stop"
	@echo "here and save most of it:  make $(MAKECMDGOALS) TORCH_INDEX=https://download.pytorch.org/whl/cpu"
endif
	$(PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' constraints.txt)"
	@touch $@

$(VENV)/.core: pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.everything: $(VENV)/.core
	$(PIP) install --quiet --constraint constraints.txt --editable '.[notebooks,test,metrics,video,search,train]'
	@touch $@

install-core: $(VENV)/.core
install: $(VENV)/.everything

# --- What a reader does ----------------------------------------------------------------------------------------------

quickstart: install-core
	$(PY) -m sketchgan customize --base horse --sketches horse_on_a_side --minutes $(MINUTES) --out outputs/quickstart
	@echo
	@echo "Open the picture:   $(OPEN) outputs/quickstart/grid.png   (above: the original GAN; below: yours, at the same z)"
	@echo "Draw your own:      make lab"

lab: install
	$(PY) -m jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/00_quickstart.ipynb

# --- Tests: three parts, each with its time. `make -k test` runs the rest after one has failed. -----------------------

TIMED = @start=$$(date +%s); $(2); code=$$?; echo "== $(1): $$(( $$(date +%s) - start )) s"; exit $$code
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=300
# Small networks gain nothing from a second thread, the suite nearly half its time from a second process.
SHARED := -n $(WORKERS) --dist loadfile
ONE_THREAD := OMP_NUM_THREADS=1

test: lint test-units test-browser test-notebooks

lint: install
	$(PY) -m ruff check

test-units: install
	$(call TIMED,unit tests,$(ONE_THREAD) $(PY) -m pytest tests --ignore=tests/browser $(SHARED) --durations=12)

test-browser: install
	$(call TIMED,browser,$(PY) -m pytest tests/browser)

test-notebooks: install
	$(call TIMED,notebooks,$(ONE_THREAD) SKETCHGAN_FAST=1 $(PY) -m pytest $(NBVAL) $(SHARED) $(sort $(wildcard notebooks/[0-9]*.ipynb)))

# Not part of continuous integration: another front end, and the last kernels that answer no widget while a cell runs.
COMPAT := .venv-compat
$(COMPAT)/.ready: constraints.txt pyproject.toml | $(PY)
	$(PYTHON) -m venv $(COMPAT)
	grep -v '^ipykernel==' constraints.txt > $(COMPAT)/constraints.txt
	$(COMPAT)/bin/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' constraints.txt)"
	$(COMPAT)/bin/python -m pip install --quiet --constraint $(COMPAT)/constraints.txt --editable '.[notebooks,test]' 'notebook>=7,<8' 'ipykernel>=6,<7'
	@touch $@

test-compat: $(COMPAT)/.ready
	$(call TIMED,Notebook 7 with ipykernel 6,SKETCHGAN_FRONT_END=notebook $(COMPAT)/bin/python -m pytest tests/browser/test_quickstart.py -s)

# --- What a developer does --------------------------------------------------------------------------------------------

# The commands of data/README.md, in the order in which one needs the other. Each goes on from its checkpoint in outputs/
# when it was interrupted.
weights: install-core
	$(PY) -m sketchgan pretrain features --scenes 3840 --kimg 26 --out outputs/features.safetensors
	$(PY) -m sketchgan pretrain judge --scenes 2304 --kimg 50 --out data/weights/judge.safetensors
	$(PY) -m sketchgan pretrain sketcher --scenes 2600 --held-out 216 --kimg 30 --out data/weights/photosketch.safetensors
	$(PY) -m sketchgan pretrain sketch-embedding --out data/weights/sketch_embedding.safetensors
	$(PY) -m sketchgan pretrain gan horse --preset laptop --features outputs/features.safetensors --out outputs/horse64
	$(PY) -m sketchgan pretrain gan cat --preset laptop --features outputs/features.safetensors --out outputs/cat64
	for category in horse cat; do \
		cp outputs/$${category}64/gan.safetensors data/weights/$${category}64.safetensors; done
	$(PY) -m sketchgan pretrain photo-encoder data/weights/horse64.safetensors --out data/weights/horse64_photo_encoder.safetensors
	$(PY) -m sketchgan pretrain photo-encoder data/weights/cat64.safetensors --out data/weights/cat64_photo_encoder.safetensors

# Hands are photographs that somebody has to have: SKETCHGAN_DATA, or python -m sketchgan hub fetch hands.
weights-hands: install-core
	$(PY) -m sketchgan pretrain photo-judge "$$($(PY) -m sketchgan hub find hands)" --kimg 50 --out data/weights/judge_hands.safetensors
	$(PY) -m sketchgan pretrain gan "$$($(PY) -m sketchgan hub find hands)" --part train --preset photos --features outputs/features.safetensors --out outputs/hands64
	cp outputs/hands64/gan.safetensors data/weights/hands64.safetensors
	$(PY) -m sketchgan pretrain photo-encoder data/weights/hands64.safetensors --out data/weights/hands64_photo_encoder.safetensors

bench: install
	@mkdir -p outputs/benchmarks
	@set -e -o pipefail; for script in benchmarks/[a-z]*.py; do \
		echo "== $$script"; $(PY) $$script | tee outputs/benchmarks/$$(basename $$script .py).txt; done

notebooks: install
	$(PY) notebooks/set_addresses.py
	$(PY) notebooks/run.py

clean:
	rm -rf outputs build dist *.egg-info .pytest_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-all: clean
	rm -rf $(VENV) $(COMPAT)
