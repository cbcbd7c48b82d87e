"""The files that a rollout writes to the share, and their order.

Owns contents, plan, sync, lock, aliases, history and garbage. Never touches a revision or its traffic.
Start with `contents.py`, then `sync.py`.
"""
