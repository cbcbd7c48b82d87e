"""Which requests run in the next step.

Owns who waits, who runs, on which rows, and how prompts are cut. Never computes with a tensor of the model.
Start with `scheduler.py`.
"""
