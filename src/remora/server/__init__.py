"""The endpoint: an OpenAI-compatible API and the chat page.

Owns HTTP on one side and an engine on the other. Never knows what torch is.
Start with `app.py`, then `api/chat.py` and `generation/answering.py`.
"""
