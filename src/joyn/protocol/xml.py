"""The one door to XML: a document becomes a small tree, or a ParseError with a position.

Spec: XML 1.0 (5th ed.), Namespaces in XML 1.0; UTF-8 only, as all our bodies are.
Promises: no DTD, no entities but the five of XML, no network, bounded size and depth.
"""

import re

from lxml import etree

from joyn.protocol.errors import ParseError

MAX_DOCUMENT = 1024 * 1024
"""Bytes of one document, unless the caller asks for less."""
MAX_DEPTH = 32
"""Elements inside each other, the root counted; our deepest body needs eight."""

Element = etree._Element
"""A parsed element: iterate it for its child elements, `.get(name)` for an attribute."""

# The encoding is given, so that a declaration in the document cannot choose another and hide `<!DOCTYPE` from us.
_PARSER = etree.XMLParser(
    encoding="utf-8",
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    huge_tree=False,
    recover=False,
    remove_comments=True,
    remove_pis=True,
)
_TOO_DEEP = etree.XPath("boolean(" + "/*" * (MAX_DEPTH + 1) + ")")
# XML 1.0 §2.11, §3.3.3: white space other than a blank is normalised away unless written as a reference.
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_SPECIAL = re.compile("[^ !#-%'-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BOM = b"\xef\xbb\xbf"


def parse(data: bytes, *, max_bytes: int = MAX_DOCUMENT) -> Element:
    """Return the root element of a UTF-8 document; comments and processing instructions are left out.

    Raises ParseError when it is not well-formed, has a DTD, or is over `max_bytes` or MAX_DEPTH.
    """
    if len(data) > max_bytes:
        raise ParseError(f"XML document over {max_bytes} bytes", max_bytes)
    doctype = data.find(b"<!DOCTYPE")
    if doctype >= 0:
        raise ParseError("XML document with a DTD", doctype)
    # The parser would guess UTF-16 or EBCDIC from the first bytes: only a document that begins in UTF-8 reaches it.
    start = 3 if data.startswith(_BOM) else 0
    head = data[start : start + 1]
    if head != b"<" and (not head.isspace() or b"\0" in data):
        raise ParseError("not an XML document", start)
    try:
        root = etree.fromstring(data, _PARSER)
    except etree.XMLSyntaxError as error:
        raise ParseError(f"XML: {error.msg}", _offset(data, *error.position)) from None
    # A document with few tags cannot be deep; the others are asked.
    if data.count(b"<") > MAX_DEPTH and _TOO_DEEP(root):
        raise ParseError(f"XML document deeper than {MAX_DEPTH}", 0)
    return root


def emit(root: Element) -> bytes:
    """Write a tree that was parsed, and perhaps changed, as a document."""
    return b'<?xml version="1.0" encoding="UTF-8"?>\r\n' + etree.tostring(root, encoding="utf-8", xml_declaration=False)


def local_name(element: Element) -> str:
    """The name without its namespace: in the field namespaces vary where names do not."""
    tag = element.tag
    return tag[tag.rfind("}") + 1 :]


def text_of(element: Element) -> str:
    """The text before the first child, without surrounding white space; empty when there is none."""
    text = element.text
    return text.strip() if text else ""


def child(element: Element, name: str) -> Element | None:
    """The first child with this local name."""
    for candidate in element:
        if local_name(candidate) == name:
            return candidate
    return None


def child_text(element: Element, name: str) -> str:
    """The text of the first child with this local name; empty when there is none."""
    found = child(element, name)
    return "" if found is None else text_of(found)


def escape(text: str) -> str:
    """Write `text` for an element or a double-quoted attribute.

    Total: what XML 1.0 §2.2 has no way to say (control characters, lone surrogates) becomes U+FFFD.
    """
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], "\ufffd"), text)


def _offset(data: bytes, line: int, column: int) -> int:
    """Turn the parser's one-based line and column into an offset within `data`."""
    start = 0
    for _ in range(line - 1):
        newline = data.find(b"\n", start)
        if newline < 0:
            break
        start = newline + 1
    return min(start + max(column - 1, 0), len(data))
