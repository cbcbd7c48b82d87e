"""Decoder layers in native code, built into the package or compiled on the machine that runs them.

Owns the C++ code, its build and its data structures. Never decides what a step computes.
Start with `choice.py`, then `layer.cpp`.
"""
