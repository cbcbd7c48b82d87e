"""vLLM as an engine: a child process beside ours, reached over its HTTP API.

Owns that process and the requests to it. Never imports vLLM.
Start with `engine.py`.
"""
