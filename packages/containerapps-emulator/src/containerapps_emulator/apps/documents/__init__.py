"""The documents of Container Apps: what is stored, its defaults, and what is refused.

Owns their shapes. Never starts a process.
Start with `template.py`.
"""
