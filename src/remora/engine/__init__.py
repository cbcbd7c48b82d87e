"""Engines turn token ids into token ids.

Owns the contract (`base.py`) and the engines that keep it. Never knows HTTP.
Start with `base.py`, then `torch/engine.py`.
"""
