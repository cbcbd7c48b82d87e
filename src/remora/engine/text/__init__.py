"""Text above any engine: chat templates, tokens to text, stop strings, grammars.

Owns text to ids and back. Never runs a model and never knows HTTP.
Start with `pieces.py`, then `chat_template.py`.
"""
