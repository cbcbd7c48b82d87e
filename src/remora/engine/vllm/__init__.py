"""vLLM as an engine: a child process beside ours, reached over its HTTP API."""
