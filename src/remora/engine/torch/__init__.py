"""The embedded engine: continuous batching in torch, a different adapter for each request.

Owns one inference thread and everything that it computes. Never knows text: token ids in, token ids out.
Start with `engine.py`, then `scheduling/scheduler.py` and `model/model.py`.
"""
