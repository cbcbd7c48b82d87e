"""The memory of keys and values.

Owns the tensors and which rows are free. Never knows which request has a row.
Start with `kv_cache.py`.
"""
