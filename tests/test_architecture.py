"""The direction of dependencies, by walking the imports of every source file."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "remora"
EMULATOR = ROOT / "packages" / "containerapps-emulator" / "src" / "containerapps_emulator"
PACKAGES = (SOURCE, EMULATOR)
PAGE = ROOT / "docs" / "explanation" / "architecture.md"

ALLOWED: dict[str, frozenset[str]] = {
    "collector": frozenset(),
    "errors": frozenset(),
    "project": frozenset({"errors"}),
    "adapters": frozenset({"errors", "project"}),
    "engine": frozenset({"errors", "project", "adapters"}),
    "server": frozenset({"collector", "errors", "project", "adapters", "engine"}),
    "azure": frozenset({"errors", "project", "adapters"}),
    "rollout": frozenset({"errors", "project", "adapters", "azure"}),
    "cli": frozenset({"collector", "errors", "project", "adapters", "azure", "rollout"}),
    "__main__": frozenset({"cli"}),
}
ONLY_WHEN_STARTED = {"cli": frozenset({"server"})}

# The rooms inside a package, lowest first: a room imports the rooms before it, never those after it. What
# stands beside the rooms, in the package's own folder, puts them together and is what they share.
ROOMS: dict[str, tuple[str, ...]] = {
    "adapters": ("text", "peft", "mirror"),
    "azure": ("bicep", "share", "app", "provisioning"),
    "azure/bicep": ("syntax", "translation"),
    "cli": ("output", "local", "help", "models", "compare", "why", "commands"),
    "engine": ("text", "torch", "vllm"),
    "engine/torch": ("cache", "scheduling", "lora", "layers", "native", "model"),
    "project": ("files", "toolkit"),
    "rollout": (
        "replica",
        "revision",
        "golden",
        "evaluation",
        "compare",
        "share",
        "gates",
        "program",
        "why",
        "export",
    ),
    "server": ("wire", "access", "generation", "telemetry", "roster", "api", "ui", "front"),
    "server/api": ("schema", "responses", "messages", "ollama"),
}

# The same of the emulator, a package of its own: Remora starts it as a process; neither imports the other.
EMULATOR_ROOMS: dict[str, tuple[str, ...]] = {
    "": ("arm", "storage", "logs", "apps", "control"),
    "apps": ("documents", "capacity", "replicas", "jobs", "ingress", "resources"),
    "arm": ("resources", "templates", "deployments", "stacks", "routes"),
    "storage": ("access", "store", "operations"),
}

HEAVY: dict[str, tuple[str, ...]] = {
    "torch": ("engine/torch/",),
    "transformers": ("engine/torch/", "engine/text/chat_template.py"),
    "peft": ("engine/torch/merge.py",),
    "gradio": ("server/ui/",),
    "opentelemetry": ("server/telemetry/tracing.py",),
    "azure": ("azure/",),
    "huggingface_hub": ("cli/models/hub.py",),
    "tqdm": ("cli/models/hub.py",),
    "cryptography": ("tls.py", "apps/documents/certificates.py"),
}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def source_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in package.rglob("*.py"))


def package_of(path: Path) -> Path:
    return EMULATOR if path.is_relative_to(EMULATOR) else SOURCE


def name_of(path: Path) -> str:
    return path.relative_to(package_of(path)).as_posix()


def test_imports_point_one_way() -> None:
    assert [fault for path in source_files() for fault in wrong_imports(path)] == []


def test_remora_and_the_emulator_meet_only_as_processes() -> None:
    other = {SOURCE: EMULATOR.name, EMULATOR: SOURCE.name}
    strays = [
        f"{path} imports {module}"
        for path in source_files()
        for module, _ in imports(path)
        if module.partition(".")[0] == other[package_of(path)]
    ]
    assert strays == []


def test_heavy_packages_stay_in_their_files() -> None:
    strays = [
        f"{name_of(path)} imports {module}"
        for path in source_files()
        for module, _ in imports(path)
        if not name_of(path).startswith(HEAVY.get(module.partition(".")[0], ("",)))
    ]
    assert strays == []


def test_files_can_be_read_in_one_sitting() -> None:
    assert [fault for path in source_files() for fault in unreadable(path)] == []


def test_every_room_is_known() -> None:
    rooms = {room_of(name_of(path)) for path in SOURCE.rglob("*.py")} - {""}
    assert rooms == set(ALLOWED)
    inner = {name_of(path.parent) for path in SOURCE.rglob("*/*/__init__.py")}
    assert inner == {f"{package}/{room}" for package, rooms in ROOMS.items() for room in rooms}
    found = {name_of(path.parent) for path in EMULATOR.rglob("*/__init__.py")}
    assert found == {
        f"{folder}/{room}".lstrip("/") for folder, rooms in EMULATOR_ROOMS.items() for room in rooms
    }


def test_every_room_says_what_it_owns_and_where_to_start() -> None:
    for path in (found for package in PACKAGES for found in package.rglob("*/__init__.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert "Start with `" in text, name_of(path)


def test_the_walk_sees_imports() -> None:
    reading = SOURCE / "cli" / "models" / "project_models.py"
    found = {module.split(".")[1] for module, _ in own_imports(reading)}
    assert {"adapters", "rollout", "project"} <= found
    assert "torch" not in sys.stdlib_module_names


def test_the_picture_in_the_docs_is_made_from_the_tables() -> None:
    assert picture() in PAGE.read_text(encoding="utf-8"), "run: make docs"


def test_the_questions_for_contributors_are_answered_by_files_that_exist() -> None:
    rows = [line.split("|") for line in (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()]
    paths = [row[2].strip().strip("`") for row in rows if len(row) == 4 and row[2].strip().endswith(".py`")]
    assert len(paths) == 20
    assert [path for path in paths if not any((package / path).is_file() for package in PACKAGES)] == []


def wrong_imports(path: Path) -> Iterator[str]:
    name = name_of(path)
    package = room_of(name)
    if package == "":  # the package's own __init__
        yield from (f"{name} imports {module}" for module, _ in own_imports(path))
        return
    for module, at_top in own_imports(path):
        if package_of(path) == EMULATOR:
            if climbs(name, module, EMULATOR_ROOMS):
                yield f"{name} imports {module}"
            continue
        target = module.split(".")[1]
        late = frozenset() if at_top else ONLY_WHEN_STARTED.get(package, frozenset())
        if target not in ALLOWED[package] | late | {package} or climbs(name, module, ROOMS):
            yield f"{name} imports {module}"


def climbs(name: str, module: str, tables: dict[str, tuple[str, ...]]) -> bool:
    """Whether a file in one room imports from a room that stands above it in the same package."""
    here, there = name.split("/")[:-1], module.split(".")[1:]
    shared = next((n for n, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), None)
    rooms = None if shared is None else tables.get("/".join(here[:shared]))
    if shared is None or rooms is None or there[shared] not in rooms:
        return False
    return rooms.index(there[shared]) > rooms.index(here[shared])


def unreadable(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    if PurePosixPath(path).stem == "utils":
        yield f"{name_of(path)}: a name that says nothing"
    if not ast.get_docstring(tree):
        yield f"{name_of(path)} does not say what it owns"
    if text.count("\n") > MAX_FILE_LINES:
        yield f"{name_of(path)} has more than {MAX_FILE_LINES} lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{name_of(path)}:{node.lineno} {node.name} has {length} lines"


def picture() -> str:
    """The packages and their rooms as a Mermaid diagram; arrows go to what is imported."""
    lines = ["```mermaid", "flowchart BT"]
    for package in ALLOWED:
        rooms = ROOMS.get(package)
        if package.startswith("__"):
            continue
        label = f"{package}<br/>{' · '.join(rooms)}" if rooms else package
        lines.append(f'  {package}["{label}"]')
    for package, allowed in ALLOWED.items():
        nearest = allowed - {below for other in allowed for below in ALLOWED[other]}
        lines += [f"  {package} --> {other}" for other in sorted(nearest) if not package.startswith("__")]
    emulator = " · ".join(EMULATOR_ROOMS[""])
    lines += ['  subgraph apart["a package of its own"]']
    lines += [f'    emulator["containerapps_emulator<br/>{emulator}"]', "  end"]
    return "\n".join([*lines, '  cli -. "starts it as a process" .-> emulator', "```"])


def room_of(name: str) -> str:
    head = name.partition("/")[0].removesuffix(".py")
    return "" if head == "__init__" else head


def own_imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module of the file's own package, whether imported at the top of the file)."""
    for module, at_top in imports(path):
        parts = module.split(".")
        if parts[0] == package_of(path).name and len(parts) > 1 and not parts[1].startswith("__"):
            yield module, at_top


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or "", id(node) in top
            if node.module and is_room(node.module):
                yield from ((f"{node.module}.{alias.name}", id(node) in top) for alias in node.names)


def is_room(module: str) -> bool:
    """Whether it is a folder of one of the packages."""
    return any(
        module.partition(".")[0] == package.name
        and package.parent.joinpath(*module.split("."), "__init__.py").exists()
        for package in PACKAGES
    )


if __name__ == "__main__":  # `make docs`
    text = PAGE.read_text(encoding="utf-8")
    start = text.index("```mermaid", text.index("## The rooms"))
    PAGE.write_text(text[:start] + picture() + text[text.index("```", start + 3) + 3 :], encoding="utf-8")
