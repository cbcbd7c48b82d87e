"""Log Analytics, the subset that environments use.

Owns workspaces, their keys and queries over the logs of apps. Does not store log lines itself.
Start with `service.py`.
"""
