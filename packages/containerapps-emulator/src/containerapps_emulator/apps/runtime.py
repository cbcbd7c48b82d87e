"""What all apps share and every revision is given. Owns no behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from remora.localcloud.apps.capacity.placement import Placement
from remora.localcloud.apps.capacity.pools import Capacity
from remora.localcloud.apps.documents.records import Records
from remora.localcloud.apps.host import Host
from remora.localcloud.apps.replicas.free_ports import FreePorts
from remora.localcloud.apps.replicas.launch import Launcher
from remora.localcloud.apps.replicas.own_ports import OwnPorts
from remora.localcloud.faults import Faults
from remora.localcloud.state import State


@dataclass(frozen=True, slots=True)
class Runtime:
    host: Host
    state: State
    records: Records
    launcher: Launcher
    capacity: Capacity
    placement: Placement
    free_ports: FreePorts
    own_ports: OwnPorts
    faults: Faults
