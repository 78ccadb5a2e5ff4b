# Thin: each target is one command that you could type yourself.
PYTHON ?= python3
BIN := .venv/bin
# One test process per core, and one thread in each.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

.PHONY: demo demo-photos label test test-slow test-extras check wheel docs bench install clean

demo: .venv/lll  ## train on the embedded digits, under two minutes
	$(BIN)/lll train --data digits --method gradual --out runs/demo --overwrite

demo-photos: .venv/lll  ## draw photos, learn them from few labels, predict others: under two minutes
	$(BIN)/python tests/photos.py runs/drawn
	$(BIN)/lll train runs/drawn/photos --out runs/demo-photos --overwrite
	$(BIN)/lll predict runs/demo-photos runs/drawn/new --why --out runs/drawn/new.csv
	$(BIN)/lll report runs/demo-photos --out runs/demo-photos.html

label: .venv/page  ## label the images of a folder in the browser: make label FOLDER=photos
	$(BIN)/lll label $(FOLDER)

test: .venv/dev  ## the fast tests
	$(PYTEST) -m "not slow"

test-slow: .venv/dev  ## the tests that take minutes
	$(PYTEST) -m slow

test-extras: .venv-extras  ## with trackers, datasets, Ray, Spark (it needs Java) and S3, in a .venv-extras
	.venv-extras/bin/python -m pytest tests/show/test_trackers.py tests/runs/test_predictor.py \
		tests/data/test_remote.py tests/runs/test_ray_train.py

check: .venv/dev  ## lint, types, import contracts, sizes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_house.py tests/test_public_names.py

wheel: .venv/dev  ## sdist and wheel: built, installed into an empty environment, and used there
	$(BIN)/python -m pytest tests/test_wheel.py

docs: .venv/docs  ## the site, in build/docs; the tutorial is run; warnings are errors
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs

bench: .venv/lll  ## measure: tables here, every number in runs/bench (benchmarks/README.md)
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/job.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/features.py

install: .venv/dev

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/lll: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/page: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[page]'
	touch $@

.venv/dev: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

.venv/docs: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

.venv-extras: pyproject.toml
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet --editable '.[dev,trackio,mlflow,wandb]' \
		datasets 'ray[data]' pyspark s3fs 'moto[server]'
	touch $@

clean:
	rm -rf .venv .venv-extras build *.egg-info src/*.egg-info
