"""Decoder layers in native code, compiled on the machine that runs them."""
