"""Parses Bicep's text to a tree.

Owns tokens, the parsers and the nodes. Does not know templates.
Start with `nodes.py`, then `parser.py`.
"""
