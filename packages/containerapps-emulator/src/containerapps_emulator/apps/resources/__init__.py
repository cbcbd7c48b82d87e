"""Container Apps over HTTP: apps, environments, revisions, usages, log streams.

Owns what ARM says of them. Never runs anything by itself.
Start with `container_apps.py`.
"""
