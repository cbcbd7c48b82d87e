"""Azure Resource Manager (ARM).

Owns routing, identity and long-running operations. The folders below it own templates, deployments,
resources and routes. Start with `api.py`.
"""
