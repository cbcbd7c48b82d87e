"""Azure Files: the data plane over plain directories, and storage accounts as resources.

Owns HTTP, authentication and the operations; `store/` owns the disk.
Start with `app.py`, then `operations/files.py`.
"""
