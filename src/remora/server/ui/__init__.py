"""The chat page.

Owns its layout and events, and is the only place that imports Gradio.
Answers come from the same code as the API's.
Start with `page.py`.
"""
