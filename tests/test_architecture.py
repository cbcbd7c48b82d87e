"""The direction of dependencies, by walking the imports of every source file."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "remora"

ALLOWED: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "project": frozenset({"errors"}),
    "adapters": frozenset({"errors", "project"}),
    "engine": frozenset({"errors", "project", "adapters"}),
    "server": frozenset({"errors", "project", "adapters", "engine"}),
    "azure": frozenset({"errors", "project", "adapters"}),
    "rollout": frozenset({"errors", "project", "adapters", "azure"}),
    "localcloud": frozenset({"errors"}),
    "cli": frozenset({"errors", "project", "adapters", "azure", "rollout"}),
    "__main__": frozenset({"cli"}),
}
ONLY_WHEN_STARTED = {"cli": frozenset({"server", "localcloud"})}

HEAVY: dict[str, tuple[str, ...]] = {
    "torch": ("engine/torch/",),
    "transformers": ("engine/torch/", "engine/chat_template.py"),
    "peft": (),
    "gradio": ("server/ui/",),
    "opentelemetry": ("server/tracing.py",),
    "azure": ("azure/",),
    "cryptography": ("localcloud/tls.py",),
}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def source_files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("path", source_files(), ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    room = room_of(name_of(path))
    if room == "":  # the package's own __init__
        assert not list(remora_imports(path))
        return
    for imported, at_top in remora_imports(path):
        late = frozenset() if at_top else ONLY_WHEN_STARTED.get(room, frozenset())
        allowed = ALLOWED[room] | late | {room}
        assert imported in allowed, f"{name_of(path)} imports remora.{imported}"


@pytest.mark.parametrize("path", source_files(), ids=name_of)
def test_heavy_packages_stay_in_their_files(path: Path) -> None:
    for module, _ in imports(path):
        homes = HEAVY.get(module.partition(".")[0])
        assert homes is None or name_of(path).startswith(homes), f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", source_files(), ids=name_of)
def test_files_can_be_read_in_one_sitting(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert PurePosixPath(path).stem != "utils"
    assert ast.get_docstring(tree), f"{name_of(path)} does not say what it owns"
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{name_of(path)}:{node.lineno} {node.name}"


def test_every_room_is_known() -> None:
    rooms = {room_of(name_of(path)) for path in source_files()} - {""}
    assert rooms == set(ALLOWED)


def test_the_walk_sees_imports() -> None:
    found = {room for room, _ in remora_imports(SOURCE / "cli" / "deploy.py")}
    assert {"adapters", "rollout", "project"} <= found
    assert "torch" not in sys.stdlib_module_names


def room_of(name: str) -> str:
    head = name.partition("/")[0].removesuffix(".py")
    return "" if head == "__init__" else head


def remora_imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(package of remora, whether imported at the top of the file)."""
    for module, at_top in imports(path):
        parts = module.split(".")
        if parts[0] == "remora" and len(parts) > 1 and not parts[1].startswith("__"):
            yield parts[1], at_top


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or "", id(node) in top
            if node.module == "remora":
                yield from ((f"remora.{alias.name}", id(node) in top) for alias in node.names)
