"""What performance is claimed, as commands anyone can run: `make bench`, `python -m bench`."""
