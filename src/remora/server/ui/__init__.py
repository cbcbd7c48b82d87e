"""The chat page. The only place that imports Gradio, which costs seconds: import it where it is served."""
