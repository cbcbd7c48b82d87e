"""`python -m tests.clients.snippets [NAME…]`: runs the snippets of docs/how-to/use-it-from.md.

Owns how a snippet is taken from the page and run. The endpoint's model answers with what it is asked.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.api.endpoint_builder import BASE, KEY, KEYS, RunningEndpoint

from remora.server.settings import ServerSettings

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-it-from.md"
ENVIRONMENT = Path(".venv-clients").absolute()
SAID = "I got the job!"
SECONDS = 180.0
SNIPPET = re.compile(r"<!-- snippet: (?P<name>[\w-]+) -->\n```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
APART = {
    "llamaindex": "llamaindex",
    "azure-ai-inference": "azure-inference",
}  # in an environment of their own


def snippets() -> dict[str, tuple[str, str]]:
    """Language and text of each, by name."""
    return {
        found["name"]: (found["language"], found["text"])
        for found in SNIPPET.finditer(PAGE.read_text("utf-8"))
    }


def settings() -> ServerSettings:
    """With Ollama's routes, and no page."""
    return ServerSettings(api_keys=KEYS, chat_page=False, ollama=True)


def run_snippet(name: str, url: str, python: Path, node: Path, folder: Path) -> str:
    """What it prints. Raises CalledProcessError where it fails."""
    language, text = snippets()[name]
    command = {
        "python": [str(python), "-"],
        "js": ["node", "--input-type=module", "-"],
        "sh": ["sh", "-eu"],
    }[language]
    done = subprocess.run(
        command,
        input=text,
        cwd=node if language == "js" else folder,
        env={**os.environ, **_variables(url, python, folder)},
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    return done.stdout


def _variables(url: str, python: Path, folder: Path) -> Mapping[str, str]:
    """What `remora env` exports, and a home of its own for what clients keep."""
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": KEY,
        "OPENAI_MODEL": BASE,
        "HOME": str(folder),
        "LLM_USER_PATH": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PATH": f"{python.parent}:{os.environ['PATH']}",
    }


def main() -> int:
    chosen = sys.argv[1:] or [name for name, (language, _) in snippets().items() if language != "yaml"]
    failures = 0
    with RunningEndpoint(settings()) as running:
        for name in chosen:
            place = ENVIRONMENT / "apart" / APART[name] if name in APART else ENVIRONMENT
            folder = Path(tempfile.mkdtemp())
            try:
                printed = run_snippet(
                    name, running.url, place / "bin" / "python", ENVIRONMENT / "node", folder
                )
                problem = "" if SAID in printed else f"printed {printed!r}"
            except subprocess.SubprocessError as error:
                problem = f"{error}: {getattr(error, 'stderr', '')!s}"[-2000:]
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            failures += bool(problem)
            sys.stdout.write(f"{name}: {problem or 'works'}\n")
            sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
