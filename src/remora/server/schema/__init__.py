"""What clients may send, one file a route. Owns the bodies and which values are neutral; answers nothing."""
