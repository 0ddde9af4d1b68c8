# make demo: the full pipeline on simulated chest radiographs, from nothing to a report, on any machine.
# make demo-masks: a ControlNet of masks for the demo model, and its mask fidelity.
# make test: the tests.   make lint: linters and type checker.   make docs: the documentation site.
# Each makes .venv first, with the extra that it needs: demo and demo-masks need none.

PYTHON ?= python3
BIN := .venv/bin
TEST_PROCESSES := $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 8 ? n : 8)))  # each takes 1.5 GB
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --editable

.PHONY: demo demo-masks test lint docs clean

demo: .venv/installed
	rm -rf runs/demo
	$(BIN)/python -m roentgen.prepare configs/data/demo.yaml
	$(BIN)/python -m train.finetune configs/train/demo.yaml
	$(BIN)/python -m sample.generate configs/sample/demo_base.yaml
	$(BIN)/python -m sample.generate configs/sample/demo.yaml
	$(BIN)/python -m eval.evaluate configs/eval/demo.yaml
	@echo "$(CURDIR)/runs/demo/report/report.html"

demo-masks: .venv/installed runs/demo/finetune/model
	rm -rf runs/demo/masks runs/demo/masks_report \
		$(foreach set,masks moved text,runs/demo/synthetic_$(set) runs/demo/.synthetic_$(set).generating)
	$(BIN)/python -m train.controlnet configs/train/masks_demo.yaml
	$(BIN)/python -m sample.generate configs/sample/masks_demo_text.yaml
	$(BIN)/python -m sample.generate configs/sample/masks_demo.yaml
	$(BIN)/python -m sample.generate configs/sample/masks_demo_moved.yaml
	$(BIN)/python -m eval.evaluate configs/eval/masks_demo.yaml
	@echo "$(CURDIR)/runs/demo/masks_report/report.html"

runs/demo/finetune/model: | .venv/installed
	$(BIN)/python -m roentgen.prepare configs/data/demo.yaml
	$(BIN)/python -m train.finetune configs/train/demo.yaml

# One process a core, one thread each: tests are small, and threads that wait at barriers spin.
test: .venv/installed-test .venv/installed-docs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadscope

lint: .venv/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: .venv/installed-docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv runs/demo build site *.egg-info .mypy_cache .pytest_cache .ruff_cache

# Rebuilt when pyproject.toml changes; a stamp marks a completed installation, of an extra too.
.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(INSTALL) .
	touch $@

.venv/installed-%: .venv/installed
	$(INSTALL) '.[$*]'
	touch $@

.PHONY: .venv
.venv: .venv/installed
