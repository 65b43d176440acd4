"""The configuration document of a device: characteristics and their parameters.

Spec: RCC.14 §2, OMA-WAP-ProvCont (facts §9.4). Readers compare names without case, and take `parm` and `param`.
Pure: values in, bytes out, and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from joyn.protocol import xml
from joyn.protocol.errors import ParseError

__all__ = ["CONTENT_TYPE", "Characteristic", "emit", "parse"]

CONTENT_TYPE: Final = "text/xml"
MAX_DOCUMENT: Final = 256 * 1024
MAX_PARAMETERS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Characteristic:
    """One `characteristic`: its type, its parameters in order, and the characteristics inside."""

    type: str
    parameters: tuple[tuple[str, str], ...] = ()
    inside: tuple[Characteristic, ...] = ()

    def get(self, name: str) -> str | None:
        """The first value of a parameter, whatever the case of its name."""
        wanted = name.lower()
        return next((value for key, value in self.parameters if key.lower() == wanted), None)

    def child(self, kind: str) -> Characteristic | None:
        """The first characteristic inside of this type."""
        wanted = kind.lower()
        return next((one for one in self.inside if one.type.lower() == wanted), None)


def emit(characteristics: tuple[Characteristic, ...]) -> bytes:
    """The document. Raises ValueError for a character that XML has no way to write."""
    lines = ['<?xml version="1.0"?>', '<wap-provisioningdoc version="1.1">']
    for one in characteristics:
        _write(one, lines, 1)
    return "\n".join([*lines, "</wap-provisioningdoc>", ""]).encode()


def _write(one: Characteristic, lines: list[str], depth: int) -> None:
    pad = " " * depth
    lines.append(f'{pad}<characteristic type="{xml.escape(one.type)}">')
    for name, value in one.parameters:
        lines.append(f'{pad} <parm name="{xml.escape(name)}" value="{xml.escape(value)}"/>')
    for inside in one.inside:
        _write(inside, lines, depth + 1)
    lines.append(f"{pad}</characteristic>")


def parse(data: bytes) -> tuple[Characteristic, ...]:
    """The characteristics of a document. Raises ParseError."""
    root = xml.parse(data, max_bytes=MAX_DOCUMENT)
    if xml.local_name(root) != "wap-provisioningdoc":
        raise ParseError("not a wap-provisioningdoc", 0)
    left = [MAX_PARAMETERS]
    return tuple(_read(one, left) for one in root if xml.local_name(one) == "characteristic")


def _read(element: xml.Element, left: list[int]) -> Characteristic:
    parameters: list[tuple[str, str]] = []
    inside: list[Characteristic] = []
    for one in element:
        left[0] -= 1
        if left[0] < 0:
            raise ParseError(f"more than {MAX_PARAMETERS} parameters", 0)
        name = xml.local_name(one)
        if name in ("parm", "param"):
            parameters.append((one.get("name") or "", one.get("value") or ""))
        elif name == "characteristic":
            inside.append(_read(one, left))
    return Characteristic(element.get("type") or "", tuple(parameters), tuple(inside))
