"""The endpoint: an OpenAI-compatible API and the chat page. Never learns what torch is."""
