"""Golden prompts: recorded answers of a model, and whether an endpoint still gives them.

Owns `golden.toml`, recording and comparison. Never changes an endpoint.
Start with `prompts.py`; the rule itself is in `comparison.py`.
"""
