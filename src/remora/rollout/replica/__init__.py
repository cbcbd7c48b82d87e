"""The first programs of a container, which start Remora.

Owns two scripts: `bootstrap.py` is in the template, `start.py` in every release. They use only the standard
library, and import of Remora nothing but the release's own code.
Start with `start.py`.
"""
