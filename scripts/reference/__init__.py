"""The pages of `docs/reference/` that are made from the code; `make docs` writes them, a test compares them.

One file for each page, with a function that returns its text. Start with `pages.py`, the table of them.
"""
