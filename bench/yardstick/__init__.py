"""The neutral yardstick: the same work for our server and for the systems a user would pick instead."""
