"""A rollout of the user's own program, mainly AI Toolkit's.

Owns the sync of the workspace's files and the check of the program's page. Does not use Remora's own API.
Start with `payload.py`.
"""
