"""AI Toolkit's files in the user's folder.

Owns `infra/`'s parameters and configs, the stock scripts and the switch to Remora. Never runs any of them.
Start with `config.py`.
"""
