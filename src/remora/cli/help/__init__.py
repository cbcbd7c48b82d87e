"""The long texts of `remora help` and `remora explain`.

Owns the words about topics, settings and error codes. Never looks at a project.
Start with `topics.py`.
"""
