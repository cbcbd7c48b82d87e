"""Replicas: container processes with their mounts, ports, probes and logs.

Owns one replica's life. Never knows traffic or scale.
Start with `replica.py`.
"""
