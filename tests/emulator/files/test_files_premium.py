"""Shares of premium accounts: what is provisioned for them, bursting, and what other shares do not have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.fileshare import ShareClient, generate_account_sas
from tests.emulator.files.conftest import PREMIUM_ACCOUNT

DAY = 24 * 60 * 60


@pytest.fixture
def premium(server: Any) -> Any:
    return replace(server, account=PREMIUM_ACCOUNT)


def code_of(act: Callable[[], Any]) -> str:
    with pytest.raises(HttpResponseError) as refused:
        act()
    error = refused.value.error_code
    return str(getattr(error, "value", error))


@pytest.mark.parametrize(
    ("quota_gib", "iops", "ingress", "egress"),
    [(100, 3100, 44, 66), (1024, 4024, 81, 122), (102_400, 102_400, 4136, 6204)],
)
def test_the_quota_says_what_is_provisioned(
    premium: Any, quota_gib: int, iops: int, ingress: int, egress: int
) -> None:
    share = premium.share()
    share.create_share(quota=quota_gib)
    listed = next(iter(premium.service().list_shares()))
    for shown in (share.get_share_properties(), listed):
        assert (shown.provisioned_iops, shown.provisioned_bandwidth) == (iops, ingress + egress)
        assert (shown.provisioned_ingress_mbps, shown.provisioned_egress_mbps) == (ingress, egress)
        assert shown.paid_bursting_enabled is None
    assert share.get_share_properties().access_tier == "Premium"


def test_a_standard_share_has_nothing_provisioned(server: Any, share: Any) -> None:
    for shown in (share.get_share_properties(), next(iter(server.service().list_shares()))):
        assert shown.provisioned_iops is shown.next_allowed_quota_downgrade_time is None
    assert share.get_share_properties().access_tier == "TransactionOptimized"


def test_a_quota_is_lowered_a_day_after_it_was_raised(premium: Any) -> None:
    expiry = datetime.now(UTC) + timedelta(days=9)
    token = generate_account_sas(PREMIUM_ACCOUNT, premium.key, "c", "rwc", expiry)
    share = ShareClient(f"{premium.url}/{PREMIUM_ACCOUNT}", "models", credential=token, retry_total=0)
    share.create_share(quota=200)
    premium.clock.skew_seconds = DAY + 1
    share.set_share_quota(300)
    allowed = share.get_share_properties().next_allowed_quota_downgrade_time
    assert allowed > datetime.now(UTC) + timedelta(days=1, hours=23)
    assert code_of(lambda: share.set_share_quota(250)) == "ContainerQuotaDowngradeNotAllowed"
    share.set_share_quota(300)
    premium.clock.skew_seconds = 2 * DAY + 2
    share.set_share_quota(250)
    assert share.get_share_properties().next_allowed_quota_downgrade_time == allowed
    assert code_of(lambda: share.set_share_quota(99)) == "InvalidHeaderValue"


def test_paid_bursting_is_kept(premium: Any, start_server: Callable[[], Any]) -> None:
    premium.share().create_share(quota=500, paid_bursting_enabled=True, paid_bursting_iops=1000)
    share = replace(start_server(), account=PREMIUM_ACCOUNT).share()
    shown = share.get_share_properties()
    assert (shown.paid_bursting_enabled, shown.paid_bursting_iops) == (True, 1000)
    share.set_share_properties(quota=500, paid_bursting_enabled=False, paid_bursting_bandwidth_mibps=10_340)
    shown = share.get_share_properties()
    assert (shown.paid_bursting_enabled, shown.paid_bursting_bandwidth_mibps) == (False, 10_340)
    too_much = {"quota": 500, "paid_bursting_iops": 102_401}
    assert code_of(lambda: share.set_share_properties(**too_much)) == "InvalidHeaderValue"


def test_only_premium_shares_burst_and_only_nfs_shares_show_snapshots(server: Any, premium: Any) -> None:
    standard = server.share()
    bursting = {"paid_bursting_enabled": True}
    assert code_of(lambda: standard.create_share(**bursting)) == "UnsupportedHeader"
    name = "x-ms-enable-snapshot-virtual-directory-access"
    assert code_of(lambda: standard.create_share(headers={name: "false"})) == "UnsupportedHeader"
    assert code_of(lambda: standard.create_share(headers={name: "no"})) == "InvalidHeaderValue"
    provisioned = {"provisioned_iops": 4000}  # of the second model of provisioning
    assert code_of(lambda: premium.share().create_share(**provisioned)) == "UnsupportedHeader"
    share = premium.share("nfs")
    share.create_share(protocols="NFS")
    assert share.get_share_properties().enable_snapshot_virtual_directory_access is True
    share.set_share_properties(root_squash="AllSquash", enable_snapshot_virtual_directory_access=False)
    listed = next(iter(premium.service().list_shares()))
    for shown in (share.get_share_properties(), listed):
        assert shown.enable_snapshot_virtual_directory_access is False
