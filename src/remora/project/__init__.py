"""What the user's folder says: base model, adapters, settings and AI Toolkit's files."""
