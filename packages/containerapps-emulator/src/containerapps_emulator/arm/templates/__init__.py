"""The language of ARM templates.

Owns expressions, functions, parameters and scopes. Deploys nothing.
Start with `template.py`, then `expressions.py`.
"""
