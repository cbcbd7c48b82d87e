"""OpenAI's Responses API.

Owns its bodies, events and stored answers. Never generates: that is `server/generation`.
Start with `routes.py`.
"""
