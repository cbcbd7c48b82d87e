"""What the browser may do with a page of ours. Owns the security headers; serves nothing.

The policy makes "no CDN" a rule that the browser enforces: nothing is loaded from, or sent to, anywhere but
this endpoint, not even an image that a model wrote into its answer.
"""

from __future__ import annotations

# Gradio's page has inline scripts and styles, and builds its components from blobs.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "form-action 'self'",
        "base-uri 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    )
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)
"""For every answer: those of the API do not mind them."""
