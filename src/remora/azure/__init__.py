"""The client of a cloud: Microsoft's SDKs behind a `CloudProfile`.

Owns every request to Azure or to the local cloud. Does not decide what a rollout does next.
Start with `profile.py`, then `provisioning/`, `share/` and `app/`.
"""
