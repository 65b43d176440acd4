"""The settings that the guides in docs/howto tell people to write: the tests use these, so that they stay true."""

from pathlib import Path

from interop.server import LISTENERS, Account, Server

GUIDES = Path(__file__).parents[2] / "docs" / "howto"
NUMBER, PROXY, TRANSPORT, AUTHORITY = "+33639980001", "sip:127.0.0.1:5060;transport=tcp", "transport=tcp", "tls/ca.pem"
"""What stands in the guides for the reader's own."""


def settings(guide: str, language: str, server: Server, listener: str, account: Account) -> str:
    """The block of a guide that is marked with a language, with everything that is the reader's own filled in."""
    text = (GUIDES / f"{guide}.md").read_text("utf-8")
    block = text.split(f"```{language}\n")[1].partition("```")[0]
    for written, own in (
        (PROXY, "PROXY"),
        (TRANSPORT, f"transport={LISTENERS[listener][0]}"),
        ("PROXY", server.proxy(listener)),
        (NUMBER, account.number),
        ("PASSWORD", account.password),
        (AUTHORITY, str(server.certificate_authority)),
    ):
        block = block.replace(written, own)
    return block
