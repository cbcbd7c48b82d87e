"""What holds for every test."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

from remora.collector import collect_seldom

collect_seldom()  # as the program's own processes do

# A runner in the background may have been started with SIGINT ignored, which every process that a test
# starts would inherit; then Ctrl+C could not be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no failure. In CI the examples are the same every time; elsewhere they are new ones.
settings.register_profile("remora", derandomize=bool(os.environ.get("CI")), deadline=None)
settings.load_profile("remora")
