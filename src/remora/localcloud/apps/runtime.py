"""What all apps share and every revision is given. Owns no behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from remora.localcloud.apps.capacity import Capacity
from remora.localcloud.apps.host import Host
from remora.localcloud.apps.mounts import Mounter
from remora.localcloud.apps.own_ports import OwnPorts
from remora.localcloud.apps.placement import Placement
from remora.localcloud.apps.records import Records
from remora.localcloud.faults import Faults
from remora.localcloud.state import State


@dataclass(frozen=True, slots=True)
class Runtime:
    host: Host
    state: State
    records: Records
    mounter: Mounter
    capacity: Capacity
    placement: Placement
    own_ports: OwnPorts
    faults: Faults
