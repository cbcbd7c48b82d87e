"""python3 wheel.py FOLDER PROGRAM: a wheel `remora` that installs in a second; its command is PROGRAM."""

import sys
import zipfile
from pathlib import Path

NAME = "remora-0.1.0"
TAG = "py3-none-any"

folder, program = sys.argv[1:]
main = f"import os, sys\n\n\ndef main():\n    os.execv({program!r}, ['remora', *sys.argv[1:]])\n"
with zipfile.ZipFile(Path(folder) / f"{NAME}-{TAG}.whl", "w") as wheel:
    for path, text in {
        "remora_standin.py": main,
        f"{NAME}.dist-info/METADATA": "Metadata-Version: 2.1\nName: remora\nVersion: 0.1.0\n",
        f"{NAME}.dist-info/WHEEL": f"Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: {TAG}\n",
        f"{NAME}.dist-info/entry_points.txt": "[console_scripts]\nremora = remora_standin:main\n",
        f"{NAME}.dist-info/RECORD": "",
    }.items():
        wheel.writestr(path, text)
