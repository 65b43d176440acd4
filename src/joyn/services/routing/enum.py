"""Asking ENUM whose a number is.

Spec: RFC 6116, IR.67 (facts §10).
Promises: only a name under the root is asked for, and what comes back is an operator's domain or nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from joyn.model.ported import operator_named
from joyn.model.route import Operator
from joyn.protocol.enum import Naptr, domain_of, sip_uris
from joyn.protocol.errors import ParseError
from joyn.protocol.sip.uri import SipUri, parse_uri

__all__ = ["Enum", "NotFound"]


class NotFound(Exception):
    """ENUM answers that it does not know the number, or knows no SIP URI of it."""


class Enum:
    """ENUM under one root.

    `ask` answers with the NAPTR records of a name, none when there is no such name, or raises Unresolved.
    `known_as` says which operator a host is, for those whose host is not their domain (`ims.mnc001.mcc208…`).
    """

    def __init__(
        self,
        root: str,
        ask: Callable[[str], Awaitable[Sequence[Naptr]]],
        known_as: Callable[[str], Operator] = Operator,
    ) -> None:
        self._root = root
        self._ask = ask
        self._known_as = known_as

    async def operator_of(self, number: str) -> Operator:
        """The operator of an E.164 number. Raises NotFound, Unresolved."""
        name = domain_of(number, self._root)
        records = await self._ask(name)
        if not records:
            raise NotFound(f"not known under {self._root}")
        for uri in sip_uris(records, number):
            try:
                parsed = parse_uri(uri)
                if isinstance(parsed, SipUri):
                    return self._known_as(operator_named(parsed.host))
            except ParseError:
                continue
        raise NotFound("no record that leads to a SIP URI")
