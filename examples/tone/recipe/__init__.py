"""How the tone example is made: text, tokenizer, training, scoring. `../train.py` wires it together."""
