"""JSON and TOML files that users edit.

Owns reading them with errors that name file and line, and changing one value without losing a comment.
Does not know what a value means. Start with `json_file.py`.
"""
