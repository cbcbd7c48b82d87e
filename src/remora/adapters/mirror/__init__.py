"""The needed part of a file share in a local folder, read over REST with the app's managed identity.

Owns tokens, requests, ranges and atomic files. Never writes to the share, and uses only the standard library.
Start with `mirror.py`.
"""
