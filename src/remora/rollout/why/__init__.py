"""Why a deploy failed, or why an endpoint does not answer: facts, and a table of causes over them.

Owns the facts, their timeline and the causes. Changes nothing, and prints nothing.
Start with `causes.py`, then `gathering.py`.
"""
