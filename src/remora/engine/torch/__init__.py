"""The embedded engine: continuous batching in torch, a different adapter per request."""
