"""Wire formats and state machines: pure, no I/O, no clock and no randomness of their own."""
