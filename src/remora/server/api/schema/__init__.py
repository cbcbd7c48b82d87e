"""What clients may send, one file for each route.

Owns the bodies and which values are neutral. Never answers a request.
Start with `chat.py`; `body.py` has the rules that all share.
"""
