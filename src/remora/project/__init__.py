"""The user's folder: base model, adapters, settings and AI Toolkit's files.

Owns reading and writing those files. Never asks a cloud and never loads a model.
Start with `settings.py`, then `workspace.py`.
"""
