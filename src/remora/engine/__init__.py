"""Engines turn token ids into token ids. They never learn what HTTP is."""
