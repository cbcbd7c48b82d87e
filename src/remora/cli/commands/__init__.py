"""The commands, one file each.

Owns what a command asks, does and prints. Does not write to the terminal itself: `output` does.
Start with `up.py`, then `deploy.py`.
"""
