"""A PEFT LoRA folder, as a trainer left it.

Owns reading and checking it against its base model, from headers alone. Never loads weights into a model.
Start with `inspect.py`.
"""
