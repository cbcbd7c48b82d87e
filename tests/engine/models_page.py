"""docs/reference/models.md, made of the families that the tests run: `python -m tests.engine.models_page`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.engine.families import AI_TOOLKIT, MULTIMODAL, REFUSED, SERVED, Family

from remora.engine.torch.native.layers import has_native_layers
from remora.project.architectures import why_not_on_torch

PAGE = Path(__file__).parents[2] / "docs/reference/models.md"


def page(text: str) -> str:
    """The page's text with all tables made anew."""
    others = [family for family in (*SERVED, *MULTIMODAL) if family not in AI_TOOLKIT]
    for name, rows in (
        ("AI Toolkit", _served(AI_TOOLKIT)),
        ("served", _served(sorted(others, key=lambda family: family.models.casefold()))),
        ("refused", _refused(REFUSED)),
    ):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = "".join((before, begin, "\n".join(rows), "\n", end, after))
    return text


def _served(families: Iterable[Family]) -> list[str]:
    rows = ["| models | `model_type` | runs | what a Llama has not |", "|---|---|---|---|"]
    return rows + [
        f"| {family.models} | `{family.kind}` | {_way(family)} | {family.has} |" for family in families
    ]


def _way(family: Family) -> str:
    return "natively" if has_native_layers(family.served_config) else "by modules"


def _refused(families: Iterable[Family]) -> list[str]:
    rows = ["| models | `model_type` | the torch engine refuses it: it has |", "|---|---|---|"]
    return rows + [
        f"| {family.models} | `{family.kind}` | {why_not_on_torch(family.served_config.to_dict())} |"
        for family in families
    ]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
