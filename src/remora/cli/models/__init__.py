"""Which base model and which adapters a command is about.

Owns finding them in folders, on the share and on the Hub, and asking if more than one fits. Never loads a
model. Start with `project_models.py`.
"""
