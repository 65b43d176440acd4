/**
 * Location push: where somebody is, as `application/vnd.gsma.rcspushlocation+xml`.
 *
 * Spec: RCC.07 §3.2.6 (facts §7), RFC 4119 (geopriv), RFC 5491 (circle and point).
 * Promises: elements are found by local name in any namespace; what is built is read back.
 */

import { type Bytes, utf8 } from "./bytes";
import { ParseError } from "./error";
import { child, childText, descendants, escapeXml, parseXml, textOf } from "./xml";

export const LOCATION_CONTENT_TYPE = "application/vnd.gsma.rcspushlocation+xml";

/** Bytes of one document. */
export const MAX_LOCATION = 8 * 1024;

const WGS_84 = "urn:ogc:def:crs:EPSG::4326";
const NAMESPACES = [
  ["", "urn:gsma:params:xml:ns:rcs:rcs:geolocation"],
  [":rpid", "urn:ietf:params:xml:ns:pidf:rpid"],
  [":gp", "urn:ietf:params:xml:ns:pidf:geopriv10"],
  [":gml", "http://www.opengis.net/gml"],
  [":gs", "http://www.opengis.net/pidflo/1.0"],
];
const NUMBER = /^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;

/** One place. */
export interface Location {
  readonly id: string;
  /** Degrees of WGS 84. */
  readonly latitude: number;
  readonly longitude: number;
  /** Metres around it; 0 is a point. */
  readonly radius: number;
  readonly label: string;
  /** Whose place it is, a URI. */
  readonly entity: string;
  /** RFC 3339 text, empty when unsaid. */
  readonly expires: string;
  readonly timestamp: string;
}

/** Reads a document. Throws ParseError when it says no place on Earth. */
export function parseLocation(data: Uint8Array): Location {
  const root = parseXml(data, MAX_LOCATION);
  const pushed = child(root, "rcspushlocation");
  if (root.name !== "rcsenvelope" || pushed === undefined) throw new ParseError("not a location push document");
  const texts = new Map<string, string>();
  for (const element of descendants(pushed)) texts.set(element.name, textOf(element));
  const position = texts.get("pos")?.split(/\s+/) ?? [];
  // RFC 5491 §5.2.1: a third is the altitude.
  if (position.length !== 2 && position.length !== 3) throw new ParseError("location push without a position");
  const radius = texts.get("radius") ?? "";
  return {
    id: pushed.attributes.get("id") ?? "",
    latitude: readNumber(position[0] as string, 90),
    longitude: readNumber(position[1] as string, 180),
    radius: radius === "" ? 0 : Math.abs(readNumber(radius, 1e8)),
    label: pushed.attributes.get("label") ?? "",
    entity: root.attributes.get("entity") ?? "",
    expires: texts.get("retention-expiry") ?? "",
    timestamp: childText(pushed, "timestamp"),
  };
}

/** Writes the document as joyn clients do; a client without `usage-rules` takes the place for expired. */
export function buildLocation(location: Location): Bytes {
  const until = ` rpid:until="${escapeXml(location.expires)}"`;
  const spaces = NAMESPACES.map(([prefix, name]) => ` xmlns${prefix}="${name}"`).join("");
  return utf8(
    '<?xml version="1.0" encoding="UTF-8"?>\r\n' +
      `<rcsenvelope${spaces} entity="${escapeXml(location.entity)}">\r\n` +
      `<rcspushlocation id="${escapeXml(location.id)}" label="${escapeXml(location.label)}">\r\n` +
      `<rpid:place-type${until}></rpid:place-type>\r\n` +
      `<rpid:time-offset${until}></rpid:time-offset>\r\n` +
      `<gp:geopriv><gp:location-info><gs:Circle srsName="${WGS_84}">\r\n` +
      `<gml:pos>${decimal(location.latitude)} ${decimal(location.longitude)}</gml:pos>` +
      `<gs:radius uom="urn:ogc:def:uom:EPSG::9001">${decimal(location.radius)}</gs:radius></gs:Circle>` +
      "</gp:location-info>\r\n" +
      `<gp:usage-rules><gp:retention-expiry>${escapeXml(location.expires)}</gp:retention-expiry></gp:usage-rules>` +
      "</gp:geopriv>\r\n" +
      `<timestamp>${escapeXml(location.timestamp)}</timestamp>\r\n` +
      "</rcspushlocation>\r\n</rcsenvelope>",
  );
}

function readNumber(text: string, limit: number): number {
  const value = NUMBER.test(text) ? Number(text) : Number.NaN;
  if (!(Math.abs(value) <= limit)) throw new ParseError("location push without a place on Earth");
  return value;
}

/** As the server writes it: with a point always. */
function decimal(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}
