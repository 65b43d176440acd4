"""Location push: where somebody is, as `application/vnd.gsma.rcspushlocation+xml`.

Spec: RCC.07 §3.2.6 (facts §7), RFC 4119 (geopriv), RFC 5491 (circle and point).
Promises: elements are found by local name in any namespace; what `emit` writes, `parse` gives back.
"""

import math
from dataclasses import dataclass

from joyn.protocol import xml
from joyn.protocol.errors import ParseError

CONTENT_TYPE = "application/vnd.gsma.rcspushlocation+xml"

MAX_LOCATION = 8 * 1024
"""Bytes of one document."""
MAX_LABEL = 100
"""Characters of a label that joyn clients show."""
WGS_84 = "urn:ogc:def:crs:EPSG::4326"
_NAMESPACES = (
    ("", "urn:gsma:params:xml:ns:rcs:rcs:geolocation"),
    (":rpid", "urn:ietf:params:xml:ns:pidf:rpid"),
    (":gp", "urn:ietf:params:xml:ns:pidf:geopriv10"),
    (":gml", "http://www.opengis.net/gml"),
    (":gs", "http://www.opengis.net/pidflo/1.0"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """One place. `latitude` and `longitude` are degrees of WGS 84, `radius` metres around it (0: a point).

    `entity` is whose place it is, a URI; `expires` and `timestamp` are RFC 3339 text, empty when unsaid.
    """

    id: str
    latitude: float
    longitude: float
    radius: float = 0.0
    label: str = ""
    entity: str = ""
    expires: str = ""
    timestamp: str = ""

    @classmethod
    def parse(cls, data: bytes) -> "Location":
        """Read a document. Raises ParseError when it says no place on Earth."""
        root = xml.parse(data, max_bytes=MAX_LOCATION)
        pushed = xml.child(root, "rcspushlocation")
        if xml.local_name(root) != "rcsenvelope" or pushed is None:
            raise ParseError("not a location push document")
        found = {xml.local_name(element): element for element in pushed.iter() if isinstance(element.tag, str)}
        position = xml.text_of(found["pos"]).split() if "pos" in found else []
        if len(position) not in (2, 3):  # RFC 5491 §5.2.1: a third is the altitude
            raise ParseError("location push without a position")
        radius = xml.text_of(found["radius"]) if "radius" in found else ""
        return cls(
            id=pushed.get("id", ""),
            latitude=_number(position[0], 90.0),
            longitude=_number(position[1], 180.0),
            radius=abs(_number(radius, 1e8)) if radius else 0.0,
            label=pushed.get("label", ""),
            entity=root.get("entity", ""),
            expires=xml.text_of(found["retention-expiry"]) if "retention-expiry" in found else "",
            timestamp=xml.child_text(pushed, "timestamp"),
        )

    def emit(self) -> bytes:
        """Write the document as joyn clients do; a client without `usage-rules` takes the place for expired."""
        until = f' rpid:until="{xml.escape(self.expires)}"'
        spaces = "".join(f' xmlns{prefix}="{name}"' for prefix, name in _NAMESPACES)
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\r\n'
            f'<rcsenvelope{spaces} entity="{xml.escape(self.entity)}">\r\n'
            f'<rcspushlocation id="{xml.escape(self.id)}" label="{xml.escape(self.label)}">\r\n'
            f"<rpid:place-type{until}></rpid:place-type>\r\n"
            f"<rpid:time-offset{until}></rpid:time-offset>\r\n"
            f'<gp:geopriv><gp:location-info><gs:Circle srsName="{WGS_84}">\r\n'
            f"<gml:pos>{self.latitude!r} {self.longitude!r}</gml:pos>"
            f'<gs:radius uom="urn:ogc:def:uom:EPSG::9001">{self.radius!r}</gs:radius></gs:Circle>'
            "</gp:location-info>\r\n"
            f"<gp:usage-rules><gp:retention-expiry>{xml.escape(self.expires)}</gp:retention-expiry></gp:usage-rules>"
            "</gp:geopriv>\r\n"
            f"<timestamp>{xml.escape(self.timestamp)}</timestamp>\r\n"
            "</rcspushlocation>\r\n</rcsenvelope>"
        ).encode()


def _number(text: str, limit: float) -> float:
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not abs(value) <= limit:  # NaN is no place either
        raise ParseError("location push without a place on Earth")
    return value
