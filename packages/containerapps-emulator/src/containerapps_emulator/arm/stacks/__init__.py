"""Deployment stacks: deployments that own what they made, and remove or release what a later one leaves out.

Owns stacks and what becomes of unmanaged resources; never evaluates a template, which `deployments/` does.
Start with `stacks.py`.
"""
