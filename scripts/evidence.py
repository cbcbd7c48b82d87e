"""`make evidence`: fetches what the conformance tests compare with, Microsoft's recordings and documents."""

from __future__ import annotations

import os

from tests.conformance.evidence import FETCHED, LIST, SOURCE, fetch, listed

if __name__ == "__main__":
    items = listed(LIST.read_text("utf-8"))
    origin = os.environ.get("REMORA_EVIDENCE_SOURCE", SOURCE).rstrip("/")
    for number, _ in enumerate(fetch(items, origin, FETCHED), 1):
        print(f"\r{number} of {len(items)} files", end="", flush=True)
    print(f"\nMicrosoft's recordings and specifications are in {FETCHED}")
