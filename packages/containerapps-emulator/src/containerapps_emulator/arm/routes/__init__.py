"""Resource Manager over HTTP, one file per family of routes.

Owns paths, status codes and responses. Changes nothing itself.
Start with `resources.py`.
"""
