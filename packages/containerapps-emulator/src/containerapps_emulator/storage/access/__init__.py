"""Access to a storage account.

Owns keys, SharedKey signatures and shared access signatures. Never reads a body.
Start with `shared_key.py`.
"""
