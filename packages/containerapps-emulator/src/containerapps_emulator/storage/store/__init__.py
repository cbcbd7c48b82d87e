"""A plain directory as an Azure file share.

Owns files, leases, properties and names on disk. Knows no HTTP.
Start with `model.py`.
"""
