"""What an adapter is: reading, checking and naming PEFT LoRA folders. Knows no engine and no cloud."""
