"""Microsoft's own inference template, compiled: deployed whole, onto real processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from containerapps_emulator.arm.templates.unique_string import unique_string

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

_TEMPLATE = Path(__file__).parents[4] / "shared/azure/templates/inference.arm.derived.json"

pytestmark = pytest.mark.skipif(not _TEMPLATE.exists(), reason=f"{_TEMPLATE} is not there")


def test_the_stock_template_deploys_twice(
    cloud: RunningCloud, group: str, deploy: Callable[..., Any]
) -> None:
    template = json.loads(_TEMPLATE.read_text())
    parameters = {
        "defaultCommands": {"value": ["cd /mount", "python3 -m http.server $PORT --bind 127.0.0.1"]},
        "maximumInstanceCount": {"value": 1},
        "location": {"value": "westus3"},  # one of the three regions that have its GPU profile
        "acaLogAnalyticsName": {"value": None},
        "acaAppName": {"value": "myapp"},
    }
    first = deploy(template, parameters).properties
    again = deploy(template, parameters, name="again").properties

    suffix = unique_string([f"/subscriptions/{cloud.connection.subscription_id}/resourceGroups/{group}"])[:5]
    outputs = {name.upper(): output["value"] for name, output in first.outputs.items()}
    assert outputs | {"ACA_APP_ENDPOINT": ""} == {
        "SUBSCRIPTION_ID": cloud.connection.subscription_id,
        "RESOURCE_GROUP_NAME": group,
        "STORAGE_ACCOUNT_NAME": f"aistorage{suffix}",
        "FILE_SHARE_NAME": f"aifileshare{suffix}",
        "ACA_APP_NAME": "myapp",
        "ACA_APP_ENDPOINT": "",
    }
    host, port = outputs["ACA_APP_ENDPOINT"].split(":")
    assert (host, port.isdigit()) == ("127.0.0.1", True)
    assert again.outputs == first.outputs
    assert len(first.output_resources) == 7
    assert (cloud.folder / "shares" / f"aistorage{suffix}" / f"aifileshare{suffix}").is_dir()
    with cloud.http() as http:
        url = f"{cloud.groups_path}/{group}/providers/Microsoft.App/containerApps/myapp/revisions"
        revisions = http.get(url, params={"api-version": "2024-03-01"}).json()["value"]
    assert len(revisions) == 1
    assert "accountKey" not in json.dumps(first.as_dict())

    cloud.resources().resource_groups.begin_delete(group).result()
    assert not cloud.resources().resource_groups.check_existence(group)
    assert not (cloud.folder / "shares" / f"aistorage{suffix}").exists()
