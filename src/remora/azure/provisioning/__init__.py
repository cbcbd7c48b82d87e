"""Deployment of the project's template: what exists, what would be created, and creating it.

Owns preflight checks and what-if. Does not roll out a release.
Start with `provision.py`.
"""
