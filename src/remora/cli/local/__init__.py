"""What runs on this machine besides the command itself.

Owns starting and watching the local cloud, and an engine for a command that has no endpoint. Never decides
what is deployed. Start with `emulator.py`.
"""
