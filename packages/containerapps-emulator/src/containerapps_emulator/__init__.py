"""The local cloud: an Azure-compatible control plane on loopback that really runs container apps.

Owns the Resource Manager, Azure Files and Container Apps over HTTP.
Imports only `errors` and knows nothing of Remora's client.
Start with `app.py`, then `arm/`, `storage/`, `apps/` and `logs/`.
"""
