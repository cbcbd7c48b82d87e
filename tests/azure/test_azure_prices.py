"""The price table against sums done by hand, and its refresh against a stand-in of Azure's price API."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from scripts.prices import items, main, table_of

from remora.azure.prices import DEFAULT_SIZES, UNITS, Load, Size, price_of, read_table
from remora.cli.price import check_limit, price_line
from remora.errors import Refused

DAY = datetime.date(2026, 11, 29)
QUIET = Load(min_replicas=0, kept_replicas=0, cooldown_seconds=300, requests_per_hour=6)


def test_a_serverless_replica_costs_its_seconds_and_nothing_asleep() -> None:
    price = price_of("Canada Central", "Consumption", Size(2, 4), QUIET)
    assert price is not None
    hour = (2 * 0.000034 + 4 * 0.000004) * 3600
    assert price.hour_awake == pytest.approx(hour)
    assert price.hour_asleep == 0
    assert price.month == pytest.approx(730 * (hour * 6 * 300 / 3600 + 6 * 0.4 / 1e6))


def test_a_kept_replica_costs_the_idle_price_and_a_gpu_has_none() -> None:
    kept = Load(min_replicas=1, kept_replicas=1, cooldown_seconds=300, requests_per_hour=0)
    cpu = price_of("westus2", "Consumption", Size(2, 4), kept)
    assert cpu is not None
    assert cpu.hour_asleep == pytest.approx(6 * 0.000004 * 3600)
    profile = "Consumption-GPU-NC8as-T4"
    gpu = price_of("canadacentral", profile, DEFAULT_SIZES[profile], kept)
    assert gpu is not None
    assert gpu.hour_asleep == gpu.hour_awake == pytest.approx((8 * 34 + 56 * 4 + 88) / 1e6 * 3600)


def test_a_dedicated_node_costs_whole_hours_and_its_environment_always_costs() -> None:
    price = price_of("canadacentral", "NC48-A100", DEFAULT_SIZES["NC48-A100"], QUIET)
    assert price is not None
    assert price.hour_awake == pytest.approx(48 * 0.080859 + 440 * 0.006638 + 2 * 5.28912 + 0.1)
    assert price.hour_asleep == pytest.approx(0.1)


def test_more_requests_than_cooldowns_keep_it_awake_all_month() -> None:
    busy = price_of("canadacentral", "D4", DEFAULT_SIZES["D4"], Load(0, 0, 300, 1000))
    assert busy is not None
    assert busy.month == pytest.approx(busy.hour_awake * 730)


@pytest.mark.parametrize(
    ("region", "profile"), [("westus3", "Consumption"), ("southcentralus", "Consumption-GPU-NC8as-T4")]
)
def test_a_price_that_the_table_lacks_is_unknown(region: str, profile: str) -> None:
    assert price_of(region, profile, DEFAULT_SIZES[profile], QUIET) is None


def test_each_price_has_a_date_and_a_source_and_is_a_known_meter() -> None:
    for region in read_table()["regions"].values():
        assert region["as_of"]  # type: ignore[index]
        assert region["source"]  # type: ignore[index]
        assert set(region["meters"]) <= set(UNITS)  # type: ignore[index]


def test_a_limit_counts_all_replicas_and_refuses_what_is_not_known() -> None:
    price = {"region": "westus2", "profile": "Consumption", "currency": "USD", "max_replicas": 3}
    known = {**price, "hour_awake": 0.5, "hour_management": 0.0}
    check_limit(known, None)
    check_limit(known, 1.5)
    with pytest.raises(Refused, match=r"up to 1\.50 USD an hour; --max-hourly is 1"):
        check_limit(known, 1.0)
    once = {**known, "hour_awake": 0.6, "hour_management": 0.1}
    check_limit(once, 1.6)
    with pytest.raises(Refused, match=r"up to 1\.60 USD"):
        check_limit(once, 1.5)
    unknown = {**price, "hour_awake": None, "elsewhere": None}
    with pytest.raises(Refused, match="is not known"):
        check_limit(unknown, 100)
    assert price_line(unknown) == "not known for Consumption in westus2"


@pytest.fixture
def api() -> Iterator[str]:
    """Two pages, as the API answers: a free grant first, a price of another unit, and one of no region."""

    def row(
        meter: str, unit: str, price: float, step: float = 0, region: str = "westus3"
    ) -> dict[str, object]:
        named = {"armRegionName": region, "meterName": meter, "unitOfMeasure": unit}
        return {**named, "retailPrice": price, "tierMinimumUnits": step}

    vcpu = "Standard vCPU Active Usage"
    pages = {
        "": [row(vcpu, "1 Second", 0.0), row(vcpu, "1 Second", 0.00002, 180_000)],
        "2": [
            row(vcpu, "1 Hour", 9),
            row("Other", "1 Hour", 9),
            row("Standard Requests", "1M", 0.4, region=""),
        ],
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            page = asked.get("page", [""])[0]
            following = None if page else f"http://127.0.0.1:{self.server.server_port}/?page=2"  # type: ignore[attr-defined]
            assert page or "Azure Container Apps" in asked["$filter"][0]
            body = json.dumps({"Items": pages[page], "NextPageLink": following}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_the_refresh_takes_every_page_and_the_price_after_the_free_grant(
    api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_of(items(api, "USD"), "USD", DAY)
    assert table["regions"] == {
        "westus3": {
            "as_of": "2026-11-29",
            "source": "Azure Retail Prices API",
            "meters": {"Standard vCPU Active Usage": 0.00002},
        }
    }
    written = tmp_path / "prices.json"
    monkeypatch.setattr("sys.argv", ["prices", "--api", api, "--table", str(written)])
    main()
    assert json.loads(written.read_text())["regions"] == {
        "westus3": {
            **table["regions"]["westus3"],
            "as_of": datetime.datetime.now(datetime.UTC).date().isoformat(),
        }
    }
