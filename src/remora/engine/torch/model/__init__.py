"""The base model with its adapters as one function: new tokens in, logits out.

Owns loading a checkpoint, putting adapters on it, and the proof that batching changes nothing.
Never schedules a request.
Start with `model.py`.
"""
