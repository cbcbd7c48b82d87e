"""How requests and answers travel: HTTP/1.1, server-sent events, and errors as clients see them.

Owns bytes and their order. Never decides what an answer says.
Start with `sse.py`.
"""
