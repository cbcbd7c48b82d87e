"""An emulator of Azure Container Apps: a control plane on loopback that really runs the apps.

Owns the Resource Manager, Azure Files, Container Apps and Log Analytics over HTTP.
Knows nothing of its clients.
Start with `app.py`, then `arm/`, `storage/`, `apps/` and `logs/`.
"""

__version__ = "0.1.0"
