"""A comparison of models on the same prompts: answers, statistics, and the report as HTML, JSON and Markdown.

Owns what is asked and what is computed of the answers. Changes no endpoint and moves no traffic.
Start with `gathering.py`, then `comparison.py`.
"""
