"""The headers that tell a client how many requests it has left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from containerapps_emulator.arm.rate_limits import RateLimits

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

PREFIX = "x-ms-ratelimit-remaining-"
GROUP = "/subscriptions/s/resourceGroups/g"


def left(limits: RateLimits, method: str, path: str = GROUP) -> dict[str, int]:
    return {name.decode().removeprefix(PREFIX): int(value) for name, value in limits.headers(method, path)}


def test_a_bucket_empties_by_request_and_fills_by_time() -> None:
    now = 100.0
    limits = RateLimits(lambda: now)
    assert left(limits, "GET") == {"subscription-reads": 1099, "subscription-global-reads": 16499}
    assert left(limits, "HEAD")["subscription-reads"] == 1098
    assert left(limits, "PUT") == {"subscription-writes": 799, "subscription-global-writes": 11999}
    assert left(limits, "DELETE")["subscription-deletes"] == 799
    assert left(limits, "GET", "/providers/Microsoft.App") == {"tenant-reads": 1099}
    for _ in range(1200):
        last = left(limits, "GET")["subscription-reads"]
    assert last == 0
    now += 2.0
    assert left(limits, "GET")["subscription-reads"] == 49
    now += 3600.0
    assert left(limits, "GET")["subscription-reads"] == 1099


def test_every_response_says_what_is_left(cloud: RunningCloud) -> None:
    group, version = f"{cloud.groups_path}/limits", {"api-version": "2025-04-01"}
    with cloud.http() as http, cloud.http(token="wrong") as stranger:
        http.put(group, params=version, json={"location": "westeurope"}).raise_for_status()
        reads = [
            int(http.get(group, params=version).headers[f"{PREFIX}subscription-reads"]) for _ in range(20)
        ]
        refused = http.patch(f"{group}/nothing", params=version, json={})
        assert refused.status_code >= 400
        assert f"{PREFIX}subscription-writes" in refused.headers
        assert "subscriptionId" in http.get("/subscriptions", params=version).text
        assert not any("ratelimit" in name for name in stranger.get(group, params=version).headers)
    assert all(0 <= number <= 1099 for number in reads)
    assert min(reads) < 1099
