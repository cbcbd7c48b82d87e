"""What the endpoint tells about itself: metrics, log lines, traces, and the record of each request.

Owns what is counted and written. Never contains a prompt, an answer or a key.
Start with `request_record.py`.
"""
