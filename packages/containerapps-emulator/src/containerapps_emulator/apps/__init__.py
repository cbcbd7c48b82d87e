"""Container Apps: environments, apps, revisions, and the processes that they are.

Owns the life of apps and revisions; the rooms below own documents, room, replicas, ingress and routes.
Start with `app.py`, then `revision.py` and `replicas/replica.py`.
"""
