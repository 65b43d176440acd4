"""The content server's rules: who may upload what, and for how long it can be fetched."""
