"""`python -m scripts.prices`: refreshes the table of list prices from Azure's public price API.

Writes `src/remora/azure/prices.json`. The API needs no account:
https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from remora.azure.prices import UNITS

API = "https://prices.azure.com/api/retail/prices"
SERVICE = "Azure Container Apps"
TABLE = Path(__file__).parents[1] / "src" / "remora" / "azure" / "prices.json"
SECONDS = 60.0


def items(api: str, currency: str) -> Iterator[dict[str, Any]]:
    """Every price of the service. The API answers in pages, each with the address of the next one."""
    asked = f"serviceName eq '{SERVICE}' and priceType eq 'Consumption'"
    url: str | None = str(httpx.URL(api, params={"currencyCode": currency, "$filter": asked}))
    while url:
        answer = httpx.get(url, timeout=SECONDS)
        answer.raise_for_status()
        page = answer.json()
        yield from page["Items"]
        url = page.get("NextPageLink")


def table_of(found: Iterator[dict[str, Any]], currency: str, day: datetime.date) -> dict[str, Any]:
    """The table, by region and meter. Of the steps of a price, the last: the first may be a free grant."""
    newest: dict[tuple[str, str], tuple[float, float]] = {}
    for item in found:
        region, meter = item.get("armRegionName"), item.get("meterName")
        if not region or UNITS.get(str(meter)) != item.get("unitOfMeasure"):
            continue
        step = (float(item.get("tierMinimumUnits") or 0), float(item["retailPrice"]))
        newest[region, str(meter)] = max(step, newest.get((region, str(meter)), (-1.0, 0.0)))
    regions: dict[str, Any] = {}
    for (region, meter), (_, price) in sorted(newest.items()):
        entry = {"as_of": day.isoformat(), "source": "Azure Retail Prices API", "meters": {}}
        regions.setdefault(region, entry)["meters"][meter] = price
    return {"service": SERVICE, "currency": currency, "collected": day.isoformat(), "regions": regions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--api", default=API)
    parser.add_argument("--currency", default="USD")
    parser.add_argument("--table", type=Path, default=TABLE)
    given = parser.parse_args()
    today = datetime.datetime.now(datetime.UTC).date()
    table = table_of(items(given.api, given.currency), given.currency, today)
    if not table["regions"]:
        raise SystemExit(f"{given.api} has no price of {SERVICE}; the table is unchanged")
    given.table.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    print(f"{given.table}: {len(table['regions'])} regions in {given.currency}, {today}")


if __name__ == "__main__":
    main()
