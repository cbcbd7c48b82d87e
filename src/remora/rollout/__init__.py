"""From a folder to an answering revision: sync, candidate, check, switch, record.

Owns the order of a rollout. The endpoint keeps serving throughout, and an interrupted rollout can be run
again. Start with `deploy.py`.
"""
