"""The front: a small app that answers while the model's app sleeps or starts, and passes everything on to it.

Owns waiting for the model and the way of a request to it and back. Never loads a model or imports an engine,
never lets in who has no key. Start with `passing.py`.
"""
