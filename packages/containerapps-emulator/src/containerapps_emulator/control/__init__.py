"""The commands that look after an emulator which runs in another process, or does not run.

Owns finding, stopping and resetting it. Never serves a request.
Start with `running.py`.
"""
