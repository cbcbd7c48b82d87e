"""How well models answer.

Owns questions, scores with their intervals, and what is kept of them. Never decides on a rollout.
Start with `scores.py`.
"""
