"""What an adapter is, and which ones an endpoint serves.

Owns inspection, digests, aliases, the layout on the share and the mathematics of proof.
Never knows an engine or a cloud.
Start with `adapter.py`; `peft/` reads a trainer's folder.
"""
