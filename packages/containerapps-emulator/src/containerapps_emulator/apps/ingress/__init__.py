"""The ingress: requests from outside to a replica.

Owns HTTP between the two and the choice by traffic weights. Never starts a replica.
Start with `listener.py`.
"""
