"""The models that `compare`, `eval` and `deploy --compare` ask.

Owns reaching them: at the endpoint, in a former revision, or in an engine here. Never scores an answer.
Start with `compared_models.py`.
"""
