# ranklift: `make run` and `make test` do all of the set-up they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORK := .ranklift/stages
# For docker-build and test-containers; see `python3 -m pipeline.containers.build --help`. TORCH_INDEX says which torch.
BUILD_OPTIONS ?=
export TORCH_INDEX
# Small enough for 2 cores, large enough for the gate to see a gain.
DEMO := --max-triplets 900 --max-seq-length 64 --evaluation-queries 1000 --max-corpus 3000

# Advisories that do not concern ranklift, as `--ignore-vuln ID`, each with its reason here. None so far.
AUDIT_EXCUSED :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*( [a-z-]+)*:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml constraints.txt requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("ranklift needs Python 3.11 or newer; this is %s. Try: make PYTHON=python3.11" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing ranklift into $(VENV); the first time takes some minutes."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@

.PHONY: install venv
install venv: $(INSTALLED) ## Set up .venv, again only when the pinned dependencies change

.PHONY: run run-all
run run-all: $(INSTALLED) ## Run the whole pipeline on the demo data, promote, serve, ask a query
	$(BIN)/ranklift run --data demo://docstrings --index-corpus dataset $(DEMO)

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
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 -m "not browser and not extended and not manifests and not containers and not cluster and not opensearch"

test-browser: $(INSTALLED) ## Run the tests of the predictor's page, in Chromium (Debian: chromium, chromium-driver)
	$(BIN)/python -m pytest -m browser

test-extended: $(INSTALLED) ## Kill stages at every request, simulate the gate in many runs, search a million passages
	$(BIN)/python -m pytest -m extended

.PHONY: test-manifests kubectl
test-manifests: $(INSTALLED) ## Render and check the Kubernetes manifests (needs kubectl; `make kubectl` brings one)
	$(BIN)/python -m pytest -m manifests tests/manifests

kubectl: $(INSTALLED) ## Put a kubectl into .venv, where there is none on the PATH (Linux, x86-64)
	$(BIN)/python .ci/install_kubectl.py $(BIN)

.PHONY: kind-up kind-load kind-down
kind-up: ## Make a cluster in Docker with KServe, Kubeflow Pipelines and MinIO, or what of it is missing
	@$(PYTHON) manifests/kind.py up

kind-load: ## Give that cluster the images of this commit
	@$(PYTHON) manifests/kind.py load --tag "$$($(PYTHON) -m pipeline.containers.build --print-tag)"

kind-down: ## Remove that cluster, and all that is in it
	@$(PYTHON) manifests/kind.py down

test-containers: $(INSTALLED) ## Build the images, run the pipeline in them against a real S3 server, serve the result
	tests/containers/base_image.sh
	$(PYTHON) -m pipeline.containers.build $(BUILD_OPTIONS)
	$(BIN)/python -m pytest -m containers tests/containers

.PHONY: test-cluster
test-cluster: $(INSTALLED) ## Run the pipeline and serve on the cluster that KUBECONFIG names, and break what may break there
	$(BIN)/python -m pytest -m cluster --timeout 1800 tests/cluster

.PHONY: test-opensearch
test-opensearch: $(INSTALLED) ## Put indexes into the OpenSearch that OPENSEARCH_COMMAND starts at OPENSEARCH_URL, and kill it in between
	$(BIN)/python -m pytest -m "opensearch$(if $(findstring @,$(OPENSEARCH_URL)),, and not opensearch_login)" tests/components/index/sinks

.PHONY: docker-build docker-sbom docker-up docker-down deploy
docker-build: ## Build an image for each stage and the predictor, tagged with the commit
	$(PYTHON) -m pipeline.containers.build $(BUILD_OPTIONS)

docker-sbom: $(INSTALLED) ## List what each image contains, as CycloneDX, in dist/sbom
	$(BIN)/python -m pipeline.containers.sbom dist/sbom

.PHONY: docker-push sign-images
docker-push: ## Push the images to RANKLIFT_IMAGE_REGISTRY and write their digests into dist/images.json
	$(PYTHON) -m pipeline.containers.runner.push dist/images.json

sign-images: ## Sign the pushed images by digest, without a key (needs cosign)
	$(PYTHON) .ci/release.py sign-images dist/images.json

docker-up: $(INSTALLED) ## Start object store and predictor in containers; the predictor serves the champion
	$(BIN)/python -m pipeline.containers.compose up

docker-down: $(INSTALLED) ## Stop them; versions and champion stay
	$(BIN)/python -m pipeline.containers.compose down

deploy: docker-build docker-up ## Build the images and serve the champion with them

.PHONY: docs docs-parameters
docs: $(INSTALLED) ## Build the documentation as a site in dist/docs, which opens without a network
	$(BIN)/mkdocs build --quiet

docs-parameters: $(INSTALLED) ## Write docs/parameters.md anew from the options that the stages declare
	$(BIN)/python -m pipeline.parameters_page docs/parameters.md

.PHONY: notebook
notebook: $(INSTALLED) ## Run the notebooks under docs again and write their outputs into them
	$(BIN)/python .ci/notebook.py

.PHONY: lint lint-workflows format
lint: $(INSTALLED) ## Check style, types and what bandit knows of security
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=.:kserve $(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive components pipeline kserve/predictor
	$(BIN)/hadolint components/Dockerfile kserve/Dockerfile tests/containers/Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions .github/actions/*/action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff

lint-workflows: ## Check the workflows with actionlint, and the shell in them with shellcheck where it is (needs Go)
	go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

format: $(INSTALLED) ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock lock-images
lock: ## Pin every package with its hashes, where pyproject.toml changed (UPGRADE=1: the newest of all; needs the network)
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9'
	$(VENV)-lock/bin/python .ci/lock.py packages

lock-images: ## Pin the base images by their digests (needs Docker and the registry)
	$(PYTHON) .ci/lock.py images

.PHONY: wheel test-wheel sbom release-check release-notes sign-files publish
wheel: $(INSTALLED) ## Build wheel and source archive into dist
	rm -f dist/ranklift-*
	$(BIN)/hatchling build -d dist

test-wheel: wheel ## Install the wheel as users do and see that the command, the types and the reports' templates are in it
	$(PYTHON) -m venv --clear $(VENV)-wheel
	$(VENV)-wheel/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt "$$(ls dist/ranklift-*.whl)"
	cd $(VENV)-wheel && bin/python -I $(CURDIR)/.ci/check_wheel.py

sbom: $(INSTALLED) ## List every pinned package, as CycloneDX, in dist/sbom/ranklift.cdx.json
	mkdir -p dist/sbom
	$(BIN)/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml -o dist/sbom/ranklift.cdx.json requirements.lock

release-check: ## See that TAG=vX.Y.Z and every file that names the version agree
	$(PYTHON) .ci/release.py check "$(TAG)"

release-notes: ## Write the version's section of CHANGELOG.md to dist/notes.md
	mkdir -p dist
	$(PYTHON) .ci/release.py notes >dist/notes.md

sign-files: ## Sign what is in dist, without a key (needs cosign)
	$(PYTHON) .ci/release.py sign-files dist

publish: ## Upload wheel and source archive to the package index that trusts the workflow (needs the network)
	$(PYTHON) -m venv $(VENV)-publish
	$(VENV)-publish/bin/pip install --quiet --disable-pip-version-check 'twine>=6.1'
	$(VENV)-publish/bin/twine upload --non-interactive dist/ranklift-*.whl dist/ranklift-*.tar.gz

.PHONY: audit
audit: $(INSTALLED) ## Compare the pinned dependencies with the advisory database (needs the network)
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/pip install --quiet --disable-pip-version-check 'pip-audit>=2.9'
	$(VENV)-audit/bin/pip-audit --requirement constraints.txt --strict --no-deps --disable-pip --progress-spinner off $(AUDIT_EXCUSED)

.PHONY: clean
clean: ## Remove the environment, caches and built stages; versions and champion in .ranklift stay
	rm -rf $(VENV) $(VENV)-audit $(VENV)-lock $(VENV)-wheel $(VENV)-publish $(WORK) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
