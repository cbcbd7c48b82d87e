"""How text becomes tokens: the files of a tokenizer, chat templates, and where these are rendered.

Owns what can be said of them before anything is loaded. Start with `text_files.py`.
"""
