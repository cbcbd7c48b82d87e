"""The file share, through Microsoft's SDK.

Owns bytes, paths and leases. Does not decide what to upload.
Start with `files.py`.
"""
