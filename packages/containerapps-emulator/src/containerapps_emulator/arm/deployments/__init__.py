"""Template deployments: from a request to resources, step by step.

Owns preparing, planning, running and recording deployments.
Does not evaluate expressions itself: see `templates`.
Start with `deployments.py`.
"""
