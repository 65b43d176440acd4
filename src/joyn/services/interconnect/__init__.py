"""Peer operators: what is due to their subscribers goes over links of our own to their borders."""
