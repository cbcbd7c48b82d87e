"""Jobs: containers that run to their end, when somebody starts them or by a schedule.

Owns executions, their replicas and their schedule. Never knows revisions, ingress or scale.
Start with `jobs.py`, then `execution.py`.
"""
