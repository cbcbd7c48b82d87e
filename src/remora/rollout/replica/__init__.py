"""The first program of a container, which starts Remora.

Owns one script, copied into every release. Uses only the standard library and never imports Remora.
Start with `start.py`.
"""
