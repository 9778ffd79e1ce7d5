# ranklift: `make run` and `make test` do all of the set-up they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORK := .ranklift/stages
# Small enough for 2 cores, large enough for the gate to see a gain.
# For docker-build and test-containers, such as --build-arg TORCH=cu128; see `python3 -m pipeline.image_build --help`.
BUILD_OPTIONS ?=
DEMO := --max-triplets 900 --max-seq-length 64 --evaluation-queries 1000 --max-corpus 3000

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*( [a-z-]+)*:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("ranklift needs Python 3.11 or newer; this is %s. Try: make PYTHON=python3.11" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing ranklift into $(VENV); the first time takes some minutes."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: install venv
install venv: $(INSTALLED) ## Set up .venv, again only when the pinned dependencies change

.PHONY: run run-all
run run-all: $(INSTALLED) ## Run the whole pipeline on the demo data, promote, serve, ask a query
	$(BIN)/ranklift run --data demo://docstrings $(DEMO)

.PHONY: data train evaluate serve
data: $(WORK)/dataset/manifest.json ## Build the demo dataset alone
train: $(WORK)/model/modules.json ## Fine-tune on the demo dataset alone
evaluate: $(WORK)/scores.json ## Export and score the fine-tuned model alone
serve: $(INSTALLED) ## Serve the champion on http://127.0.0.1:8080
	$(BIN)/ranklift serve

$(WORK)/dataset/manifest.json: | $(INSTALLED)
	$(BIN)/ranklift prepare demo://docstrings -o $(WORK)/dataset $(DEMO)

$(WORK)/model/modules.json: $(WORK)/dataset/manifest.json
	rm -rf $(WORK)/model
	$(BIN)/ranklift train $(WORK)/dataset -o $(WORK)/model

$(WORK)/served/encoder.json: $(WORK)/model/modules.json
	rm -rf $(WORK)/served
	$(BIN)/ranklift export $(WORK)/model -o $(WORK)/served --data $(WORK)/dataset

$(WORK)/scores.json: $(WORK)/served/encoder.json
	$(BIN)/ranklift evaluate $(WORK)/served --data $(WORK)/dataset -o $@

.PHONY: test test-browser test-extended test-containers
test: $(INSTALLED) ## Run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not browser and not extended and not containers"

test-browser: $(INSTALLED) ## Run the tests of the predictor's page, in Chromium (Debian: chromium, chromium-driver)
	$(BIN)/python -m pytest -m browser

test-extended: $(INSTALLED) ## Kill stages at every request, simulate the gate in many runs, search a million passages
	$(BIN)/python -m pytest -m extended

test-containers: $(INSTALLED) ## Build the images, run the pipeline in them against a real S3 server, serve the result
	tests/containers/base_image.sh
	$(PYTHON) -m pipeline.image_build $(BUILD_OPTIONS)
	$(BIN)/python -m pytest -m containers tests/containers

.PHONY: docker-build docker-sbom docker-up docker-down deploy
docker-build: ## Build an image for each stage and the predictor, tagged with the commit
	$(PYTHON) -m pipeline.image_build $(BUILD_OPTIONS)

docker-sbom: $(INSTALLED) ## List what each image contains, as CycloneDX, in dist/sbom
	$(BIN)/python -m pipeline.image_sbom dist/sbom

docker-up: $(INSTALLED) ## Start object store and predictor in containers; the predictor serves the champion
	$(BIN)/python -m pipeline.compose up

docker-down: $(INSTALLED) ## Stop them; versions and champion stay
	$(BIN)/python -m pipeline.compose down

deploy: docker-build docker-up ## Build the images and serve the champion with them

.PHONY: lint format
lint: $(INSTALLED) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint components/Dockerfile kserve/Dockerfile tests/containers/Dockerfile

format: $(INSTALLED) ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean: ## Remove the environment, caches and built stages; versions and champion in .ranklift stay
	rm -rf $(VENV) $(WORK) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
