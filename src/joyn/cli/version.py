"""`joyn version`."""

from __future__ import annotations


def version() -> None:
    """Print the version of joyn and of what it stands on."""
    import platform
    import sqlite3
    import ssl

    from joyn import __version__

    below = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {ssl.OPENSSL_VERSION}"
    print(f"joyn {__version__} ({below})")
