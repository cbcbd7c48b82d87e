"""The parts of a layer that we replace: attention, linear projections, and the form of weights.

Owns how they are computed in a mixed batch. Never knows a whole model.
Start with `projection.py`.
"""
