"""How an adapter's proof is shown: `tone  KL 0.41, first difference at token 1 of 8 prompts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from remora.adapters.proof import Proof


def proof_document(proof: Proof) -> dict[str, Any]:
    """A proof as data, with the line that users see."""
    return {**asdict(proof), "text": str(proof)}


def proof_text(proofs: Mapping[str, Mapping[str, Any]]) -> str:
    """All of them in one text."""
    return "; ".join(f"{name}  {proof['text']}" for name, proof in proofs.items())


def unknown_proofs(proofs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A warning for each adapter that is served though nobody could measure whether it changes anything."""
    return [
        f"it is not known whether adapter {name!r} changes what its base model says ({proof['text']});"
        " ask it something that it was trained for"
        for name, proof in proofs.items()
        if proof["state"] in ("unknown", "pending")
    ]
