"""Sockets: each transport owns its own, drives the protocol cores and hands whole messages to `edge`."""
