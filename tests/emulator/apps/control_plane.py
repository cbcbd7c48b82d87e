"""A control plane in a process of its own: deploys an app, says where, waits to be killed."""

import asyncio
import json
import sys
from pathlib import Path

from tests.emulator.apps.cloud import WEB, Cloud

from containerapps_emulator.apps.replicas.leftovers import PROCESSES


async def main(folder: Path) -> None:
    cloud = Cloud(folder)
    await cloud.service.start()
    await cloud.provision()
    # Not exec: the shell stays, and what it started must end as well.
    await cloud.deploy(env={"VERSION": "1"}, command=["/bin/bash", "-c", f"python3 {WEB}; true"])
    await cloud.until_ready()
    (record,) = [record for _, record in cloud.state.list(PROCESSES)]
    told = {
        "url": cloud.url,
        "latest": cloud.latest,
        "pids": [record["pid"], (await cloud.get())["pid"]],
        "documents": cloud.documents,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))
