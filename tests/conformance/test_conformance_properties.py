"""Every writable property of an app, a job and an environment, by Microsoft's types, is kept or refused."""

from __future__ import annotations

import pytest
from tests.conformance import evidence
from tests.conformance.properties_page import PAGE, page
from tests.conformance.writable import KINDS, TYPES, Fate, Kind, outcomes

pytestmark = pytest.mark.skipif(not TYPES.is_file(), reason=evidence.ABSENT)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
def test_every_writable_property_is_kept_or_refused(kind: Kind) -> None:
    found = list(outcomes(kind))
    assert [item.path for item in found if item.fate is Fate.DROPPED] == []
    assert {Fate.ACTED_UPON, Fate.STORED} <= {item.fate for item in found}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type)
def test_every_beginning_of_what_is_acted_upon_is_a_property(kind: Kind) -> None:
    paths = [item.path for item in outcomes(kind)]
    strange = [start for start in kind.acted_upon if not any(path.startswith(start) for path in paths)]
    assert strange == []


def test_the_page_of_properties_is_what_becomes_of_them() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.conformance.properties_page"
