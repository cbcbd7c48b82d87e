"""Why a command failed, for the person at the terminal.

Owns the short form of a diagnosis and its page. Never diagnoses: that is `rollout/why`.
Start with `diagnosis.py`.
"""
