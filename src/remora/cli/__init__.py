"""The command line.

Owns what users type and read. Only `output/` prints; only `commands/` starts a server or the local cloud.
Start with `main.py`, then `commands/up.py`.
"""
