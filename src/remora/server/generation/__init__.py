"""From a question in words to an answer in words, through an engine.

Owns choices, constraints, tool calls in text and log-probabilities. Never knows HTTP or a route.
Start with `answering.py`.
"""
