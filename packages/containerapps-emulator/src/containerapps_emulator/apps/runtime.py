"""What all apps share and every revision is given. Owns no behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from containerapps_emulator.apps.capacity.placement import Placement
from containerapps_emulator.apps.capacity.pools import Capacity
from containerapps_emulator.apps.documents.records import Records
from containerapps_emulator.apps.host import Host
from containerapps_emulator.apps.replicas.free_ports import FreePorts
from containerapps_emulator.apps.replicas.launch import Launcher
from containerapps_emulator.apps.replicas.own_ports import OwnPorts
from containerapps_emulator.faults import Faults
from containerapps_emulator.state import State


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
