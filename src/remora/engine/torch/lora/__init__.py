"""What adapters add to a projection, many adapters in one batch.

Owns the adapters' weights in memory and the layout of batched products. Never knows a request.
Start with `bank.py`.
"""
