"""The part of Ollama's API that editors look for.

Owns its bodies and lines. Never pulls or changes a model.
Start with `routes.py`.
"""
