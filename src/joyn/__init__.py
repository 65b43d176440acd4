"""joyn: an operator's own messenger on the RCS standards."""

__version__ = "0.1.0"
