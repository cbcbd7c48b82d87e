"""A release for another platform: the deployed container as a Kubernetes or a Compose document.

Owns the documents. Reads the app's template only, holds no key, and changes nothing.
Start with `workload.py`.
"""
