"""One revision of an app, from its template to its replicas.

Owns making it, waiting until it is ready, ending it, and room for it beside another. Never switches traffic
to it. Start with `candidate.py`.
"""
