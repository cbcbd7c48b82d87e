"""What a model's name means, and which names are refused."""

from __future__ import annotations

import pytest
from tests.api.endpoint_builder import ADAPTERS, BASE, PIRATE_DIGEST, TONE_DIGEST, adapter

from remora.adapters.registry import AdapterRegistry
from remora.errors import InvalidInput, ModelNotFound

TONE, PIRATE = ADAPTERS


@pytest.mark.parametrize(
    "name", ["tone", f"{BASE}:tone", f"tone@{TONE_DIGEST}", f"{BASE}:tone@{TONE_DIGEST[:8]}"]
)
def test_an_adapter_has_several_names(name: str) -> None:
    assert AdapterRegistry(BASE, ADAPTERS).resolve(name) is TONE


def test_the_base_is_no_adapter() -> None:
    registry = AdapterRegistry(BASE, ADAPTERS)
    assert registry.resolve(BASE) is None
    assert registry.names == (BASE, "tone", "pirate")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Tone",
        "tone ",
        ":tone",
        f"{BASE}:",
        f"{BASE}:{BASE}",
        "other:tone",
        "tone@",
        f"tone@{TONE_DIGEST[:7]}",
        f"tone@{PIRATE_DIGEST[:12]}",
        f"{BASE}@{TONE_DIGEST[:12]}",
        f"@{TONE_DIGEST}",
        "/models/tone",
    ],
)
def test_nothing_else_is_a_name(name: str) -> None:
    with pytest.raises(ModelNotFound) as missing:
        AdapterRegistry(BASE, ADAPTERS).resolve(name)
    assert repr(name) in missing.value.message
    assert "tone" in missing.value.hint


def test_a_name_with_a_colon_or_an_at_sign_means_itself_first() -> None:
    odd = adapter(f"{BASE}:tone", PIRATE_DIGEST)
    pinned = adapter(f"tone@{TONE_DIGEST[:8]}", PIRATE_DIGEST)
    registry = AdapterRegistry(BASE, (TONE, odd, pinned))
    assert registry.resolve(f"{BASE}:tone") is odd
    assert registry.resolve(f"tone@{TONE_DIGEST[:8]}") is pinned


@pytest.mark.parametrize("name", [BASE, "tone"])
def test_a_name_given_twice_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        AdapterRegistry(BASE, (TONE, adapter(name, PIRATE_DIGEST)))
