"""How much room there is: profiles, nodes, GPUs, quotas.

Owns limits and what counts against them. Never starts a replica.
Start with `pools.py`.
"""
