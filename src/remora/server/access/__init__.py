"""Decides who can call the endpoint, and how many requests are admitted.

Owns keys, sessions, guards and limits. Never reads what a request asks for.
Start with `auth.py`; `admission.py` has the limits.
"""
