"""What must hold before a revision gets traffic, and after.

Owns the checks at an endpoint and the proof of every adapter. Never undoes a rollout.
Start with `gates.py`.
"""
