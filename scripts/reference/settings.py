"""`reference/settings.md`: every setting of `remora.toml` with its type, default and meaning."""

from __future__ import annotations

from typing import Any, Final

from scripts.reference.table import code, table

from remora.cli.help.setting_meanings import MEANINGS, NAMED
from remora.project.settings import OPTIONS, SECTIONS

HEAD = """# remora.toml

Every setting. Made from the code by `make docs`; `remora help settings` prints the same offline.

`remora init` writes the file with the base model and the adapters that it finds. Flags win over environment
variables, environment variables over `remora.toml`, `remora.toml` over the files in `infra/`. Paths are
relative to the file, with `/`. An unknown setting is refused, with its line.

```toml
cloud = "local"

[model]
base = "base"
name = "tone-base"

[adapters]
tone = "adapters/tone"

[serve]
max_running_requests = 16
```
"""
KINDS: Final[dict[Any, str]] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "`true` or `false`",
    list: "list of texts",
}


def settings_page() -> str:
    parts = [HEAD]
    for section in ("", *SECTIONS):
        parts.append(f"## {f'[{section}]' if section else 'At the top of the file'}\n")
        parts.append(table(("Setting", "Value", "Default", "Variable", "Meaning"), _rows(section)))
    return "\n".join(parts)


def _rows(section: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for option in OPTIONS:
        head, _, name = option.key.rpartition(".")
        if head == section:
            default = code(_written(option.default)) if option.default not in (None, ()) else ""
            rows.append((code(name), _value(option), default, code(option.variable), MEANINGS[option.key]))
    for key, meaning in NAMED.items():
        if key.startswith(f"{section}."):
            rows.append((code("NAME"), "text", "", "", meaning))
    return rows


def _value(option: Any) -> str:
    if option.choices:
        return ", ".join(map(code, option.choices))
    return f"{option.low} … {option.high:,}" if option.kind is int else KINDS[option.kind]


def _written(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)
