"""What holds for every test."""

from __future__ import annotations

import signal

# A runner in the background may have been started with SIGINT ignored, which every process that a test
# starts would inherit; then Ctrl+C could not be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
