"""One container app: its revisions, traffic, keys and logs.

Owns reading and changing it through Microsoft's SDK. Does not decide when a revision gets traffic.
Start with `apps.py`.
"""
