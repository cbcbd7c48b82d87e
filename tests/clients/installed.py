"""Which clients there are, and where they are installed: below `.venv-clients`.

Clients want different versions of the same packages, so most have an environment of their own, made where it
is missing. Those with no `place` share the one that `make test-clients` makes, or that of Node.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
ENVIRONMENT = Path(".venv-clients").absolute()
NODE = ENVIRONMENT / "node"
INSTALL_SECONDS = 1200.0


@dataclass(frozen=True, slots=True)
class Client:
    """A client: its program and its packages; the first one's version is shown.

    `npm`: a command line from that registry, which a program in Python drives.
    """

    name: str
    program: str
    packages: tuple[str, ...]
    place: str = ""
    npm: bool = False

    @property
    def folder(self) -> Path:
        """Its environment."""
        if self.place:
            return ENVIRONMENT / "apart" / self.place
        return NODE if self.is_node else ENVIRONMENT

    @property
    def is_node(self) -> bool:
        return self.program.endswith(".mjs")

    @property
    def python(self) -> Path:
        """The interpreter of its program; this one where its packages are no Python."""
        return Path(sys.executable) if self.npm or not self.packages else self.folder / "bin" / "python"

    @property
    def commands(self) -> Path:
        """The folder of its command line."""
        return self.folder / "node_modules" / ".bin" if self.npm else self.folder / "bin"


CLIENTS = (
    Client("openai-python", "openai_python.py", ("openai",)),
    Client("openai-node", "openai_node.mjs", ("openai",)),
    Client("AI SDK", "ai_sdk.mjs", ("ai",)),
    Client("LiteLLM", "litellm_client.py", ("litellm",)),
    Client("LangChain", "langchain_client.py", ("langchain-openai",)),
    Client("LangChain.js", "langchain_js.mjs", ("@langchain/openai",)),
    Client("pydantic-ai", "pydantic_ai_client.py", ("pydantic-ai-slim",)),
    Client("openai-agents", "openai_agents.py", ("openai-agents",)),
    Client("openai-agents JS", "openai_agents_js.mjs", ("@openai/agents",)),
    Client("llm", "llm_client.py", ("llm",)),
    Client("LlamaIndex", "llamaindex.py", ("llama-index-llms-openai-like",), "llamaindex"),
    Client("AutoGen", "autogen.py", ("autogen-agentchat", "autogen-ext[openai]"), "autogen"),
    Client("Semantic Kernel", "semantic_kernel_client.py", ("semantic-kernel",), "semantic-kernel"),
    Client(
        "Agent Framework", "agent_framework_client.py", ("agent-framework-openai",), "agent-framework-openai"
    ),
    Client("CrewAI", "crewai_client.py", ("crewai",), "crewai"),
    Client("instructor", "instructor_client.py", ("instructor",), "instructor"),
    Client("Haystack", "haystack_client.py", ("haystack-ai",), "haystack"),
    Client("DSPy", "dspy_client.py", ("dspy",), "dspy"),
    Client("smolagents", "smolagents_client.py", ("smolagents[openai]",), "smolagents"),
    Client("LangGraph", "langgraph_client.py", ("langgraph", "langchain-openai"), "langgraph"),
    Client("outlines", "outlines_client.py", ("outlines", "openai"), "outlines"),
    Client("guidance", "guidance_client.py", ("guidance", "openai"), "guidance"),
    Client("inspect", "inspect_client.py", ("inspect-ai", "openai"), "inspect"),
    Client("deepeval", "deepeval_client.py", ("deepeval",), "deepeval"),
    Client("guidellm", "guidellm_client.py", ("guidellm",), "guidellm"),
    Client("aider", "aider_client.py", ("aider-chat",), "aider"),
    Client("promptfoo", "promptfoo_client.py", ("promptfoo",), "promptfoo", npm=True),
    Client("Codex CLI", "codex_client.py", ("@openai/codex",), "codex", npm=True),
    Client("azure-ai-inference", "azure_inference.py", ("azure-ai-inference", "aiohttp"), "azure-inference"),
    Client("JDK's HttpClient (its bytes)", "jdk_http_client.py", ()),
    Client("Anthropic SDK", "anthropic_python.py", ("anthropic",)),
    Client("Anthropic SDK JS", "anthropic_node.mjs", ("@anthropic-ai/sdk",)),
    Client(
        "langchain-anthropic",
        "langchain_anthropic_client.py",
        ("langchain-anthropic",),
        "langchain-anthropic",
    ),
    Client(
        "pydantic-ai (Anthropic)",
        "pydantic_ai_anthropic.py",
        ("pydantic-ai-slim[anthropic]",),
        "pydantic-ai-anthropic",
    ),
    Client("ollama-python", "ollama_python.py", ("ollama",)),
    Client("langchain-ollama", "langchain_ollama_client.py", ("langchain-ollama",), "langchain-ollama"),
)


def install(client: Client) -> None:
    """Make its environment, where it has one of its own and there is none."""
    if not client.place or client.commands.exists():
        return
    if client.npm:
        command = ["npm", "install", "--prefix", str(client.folder), "--no-audit", "--no-fund"]
        command += ["--loglevel=error", *client.packages]
    else:
        subprocess.run([sys.executable, "-m", "venv", str(client.folder)], check=True)
        command = [str(client.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += client.packages
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS)


def version(client: Client) -> str:
    """Of its first package; nothing where it has none."""
    if not client.packages:
        return ""
    package = client.packages[0].partition("[")[0]
    if client.is_node or client.npm:
        about = client.folder / "node_modules" / package / "package.json"
        return str(json.loads(about.read_text("utf-8"))["version"])
    ask = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([str(client.python), "-c", ask], capture_output=True, text=True, check=True)
    return done.stdout.strip()
