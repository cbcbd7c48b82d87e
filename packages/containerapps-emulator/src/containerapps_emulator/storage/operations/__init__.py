"""The operations of the Azure Files service, one file per kind of entry.

Owns reading a request and writing its response. Accesses the disk only through `store/`.
Start with `files.py`.
"""
