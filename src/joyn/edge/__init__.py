"""Doors: who asks? call one service function; turn its answer into a status code."""
