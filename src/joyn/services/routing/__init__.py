"""Whose subscriber a number is: ours, a peer operator's, or nobody's."""
