"""Translates a Bicep tree to an ARM template.

Owns names, types, expressions and resources in a template's terms. Does not read Bicep's text.
Start with `translator.py`.
"""
