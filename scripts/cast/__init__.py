"""`python -m scripts.cast [DOCS]`: examples/tone in a terminal, as an SVG of 40 seconds; `make cast` runs it.

`recording.py` types the commands in tmux, with a local cloud in a fresh home; `film.py` makes the time fit;
`drawing.py` writes the SVG. No test records anew: one looks at the file that is there.
"""
