"""The command line. One module per noun; `output.py` is the only place that prints."""
