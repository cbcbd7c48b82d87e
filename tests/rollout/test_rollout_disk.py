"""The disk of a replica that pulls its models."""

from __future__ import annotations

import pytest

from remora.errors import Refused
from remora.rollout.revision.disk import GIB, check_disk, disk_gib


@pytest.mark.parametrize(
    ("cpu", "gib"), [(0.25, 1), (0.5, 2), (0.75, 4), (1.0, 4), (1.25, 8), (2.0, 8), (24.0, 8)]
)
def test_the_disk_grows_with_the_cores(cpu: float, gib: int) -> None:
    assert disk_gib(cpu) == gib
    check_disk((gib - 1) * GIB, cpu)
    with pytest.raises(Refused, match=f"has {gib} GiB"):
        check_disk((gib - 1) * GIB + 1, cpu)


@pytest.mark.parametrize(
    ("gib", "hint"),
    [(0.5, "set cpu to 0.5 "), (2.5, "set cpu to 1 "), (6, "set cpu to 2 "), (8, "no replica")],
)
def test_what_is_too_large_is_told_the_size_that_it_needs(gib: float, hint: str) -> None:
    with pytest.raises(Refused, match=f"needs {gib + 1:.1f} GiB") as refused:
        check_disk(int(gib * GIB), 0.25 if gib < 8 else 4)
    assert hint in refused.value.hint
