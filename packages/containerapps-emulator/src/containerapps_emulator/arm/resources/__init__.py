"""Resources of every service: ids, types, tags, groups, and their records on disk.

Owns the interface that a service implements (`resource.py`). HTTP is limited to `wire.py` and
`provider_answers.py`. Start with `resource.py`, then `resources.py`.
"""
