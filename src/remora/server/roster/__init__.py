"""The adapters that this replica serves, while they change.

Owns following the share, loading beside what serves, and the proof of effect. Never answers a request.
Start with `roster.py`.
"""
