"""Anthropic's Messages API.

Owns its bodies and events. Never generates: that is `server/generation`.
Start with `routes.py`.
"""
