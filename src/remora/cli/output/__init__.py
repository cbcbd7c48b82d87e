"""What users and programs see.

Owns printing, progress and questions. Never decides what a command does.
Start with `console.py`.
"""
