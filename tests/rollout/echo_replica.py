"""`python echo_replica.py MOUNT`: a container of the tests: the endpoint without a model.

It loads until the share has no file `.remora/hold`, and says so as an engine does.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from remora.adapters.model_set import ModelSet
from remora.adapters.shared import open_share
from remora.engine.base import Engine
from remora.engine.echo import EchoEngine
from remora.engine.loading import PROGRESS
from remora.server.access.keys import admin_key_from_environment, keys_from_environment
from remora.server.listening import bind
from remora.server.serving import serve
from remora.server.settings import ServerSettings

HOLD = Path(".remora", "hold")


def main(mount: Path) -> None:
    listener = bind(os.environ["REMORA_HOST"], int(os.environ["PORT"]))
    share = open_share(mount, os.environ["REMORA_RELEASE"], os.environ.get("REMORA_ADAPTERS", ""))
    settings = ServerSettings(
        api_keys=keys_from_environment(os.environ),
        admin_keys=admin_key_from_environment(os.environ),
    ).with_serve(share.serve)

    def load(_: ModelSet) -> Engine:
        PROGRESS.info("loading weights %d of %d", 12, 28)
        while (mount / HOLD).exists():
            time.sleep(0.1)
        return EchoEngine()

    models = ModelSet(share.base_name, share.base, (), share.prompt_templates)
    serve(listener, models, load, settings, print, share=share)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
