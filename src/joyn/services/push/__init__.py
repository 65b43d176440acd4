"""Waking devices that are not connected, without telling anybody on the way what for."""
