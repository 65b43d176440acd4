/** Every wire sample of tests/vectors that this side reads means here what it means to the server. */

import { describe, expect, test } from "vitest";
import { concat, decodeLoosely } from "../../src/protocol/bytes";
import { parseConfiguration } from "../../src/protocol/config";
import { buildCpim, type Cpim, parseCpim } from "../../src/protocol/cpim";
import {
  buildFileInfo,
  buildResumeInfo,
  type FileInfo,
  parseFileInfo,
  parseResumeInfo,
  type ResumeInfo,
} from "../../src/protocol/file-info";
import { buildLocation, type Location, parseLocation } from "../../src/protocol/geolocation";
import { buildImdn, parseImdn } from "../../src/protocol/imdn";
import { buildIsComposing, parseIsComposing } from "../../src/protocol/iscomposing";
import { emitFrame, type Frame } from "../../src/protocol/msrp/chunk";
import { Framer } from "../../src/protocol/msrp/connection";
import { boundaryOf, buildMultipart, type Part, parseMultipart } from "../../src/protocol/multipart";
import { buildRevocation, parseRevocation } from "../../src/protocol/revocation";
import { emitSdp, msrpMedia, parseSdp, type Sdp } from "../../src/protocol/sdp";
import { parseXml, textOf, type XmlElement } from "../../src/protocol/xml";
import { parseError, type Sample, samples } from "./samples";

interface Format<Value> {
  parse(wire: Uint8Array, sample: Sample): Value;
  /** The value in the samples' words; `sample` says which of them it uses. */
  plain(value: Value, sample: Sample): unknown;
  emit?(value: Value, sample: Sample): Uint8Array;
}

const cpim: Format<Cpim> = {
  parse: parseCpim,
  plain: (message, sample) => {
    const expected = sample.value as { decoded?: string; namespaced?: [string, string, string][] };
    return {
      from: message.from,
      to: message.recipients,
      date_time: message.dateTime,
      message_id: message.messageId,
      disposition_request: [...message.dispositionNotification].sort(),
      content_type: message.contentType,
      headers: message.headers.length,
      body: expected.decoded === undefined ? message.text : (sample.value as { body: string }).body,
      ...(expected.decoded === undefined ? {} : { decoded: message.text }),
      ...(expected.namespaced && {
        namespaced: expected.namespaced.map(([uri, name]) => [uri, name, message.extension(uri, name)]),
      }),
    };
  },
  emit: (message) =>
    buildCpim({
      from: message.from,
      to: message.to,
      dateTime: message.dateTime,
      messageId: message.messageId,
      dispositionNotification: [...message.dispositionNotification],
      namespaces: message.namespaces.filter(([prefix]) => prefix !== "imdn"),
      extra: message.headers.filter(([name]) => name.includes(".") && !name.startsWith("imdn.")),
      contentType: message.contentHeaders[0]?.[1] ?? "",
      contentHeaders: message.contentHeaders.slice(1, -1),
      body: message.body,
    }),
};

const imdn: Format<ReturnType<typeof parseImdn>> = {
  parse: parseImdn,
  plain: (value) => ({
    message_id: value.messageId,
    kind: value.kind,
    status: value.status,
    datetime: value.dateTime,
    ...(value.recipientUri && { recipient_uri: value.recipientUri }),
    ...(value.originalRecipientUri && { original_recipient_uri: value.originalRecipientUri }),
    ...(value.subject && { subject: value.subject }),
    ...(value.cause && { cause: value.cause }),
  }),
  emit: buildImdn,
};

const iscomposing: Format<ReturnType<typeof parseIsComposing>> = {
  parse: parseIsComposing,
  plain: ({ state, contentType, lastActive, refresh }) => ({
    state,
    content_type: contentType,
    last_active: lastActive,
    refresh,
  }),
  emit: buildIsComposing,
};

const revocation: Format<ReturnType<typeof parseRevocation>> = {
  parse: parseRevocation,
  plain: ({ messageId, result }) => ({ message_id: messageId, ...(result && { result }) }),
  emit: buildRevocation,
};

const multipart: Format<Part[]> = {
  parse: (wire, sample) => parseMultipart(sample.content_type ?? "", wire),
  plain: (parts) => ({ parts: parts.map(({ headers, body }) => ({ headers, body: decodeLoosely(body) })) }),
  emit: (parts, sample) => {
    const built = buildMultipart(parts, () => boundaryOf(sample.content_type ?? ""));
    expect(built.contentType).toBe(sample.content_type);
    return built.body;
  },
};

const sdp: Format<Sdp> = {
  parse: parseSdp,
  plain: (value) => {
    const found = msrpMedia(value);
    return {
      media: value.media.map(({ kind, port, protocol }) => [kind, port, protocol]),
      session_id: value.origin?.sessionId ?? null,
      msrp: found && {
        port: found.port,
        address: found.address,
        secure: found.secure,
        path: found.path,
        setup: found.setup,
        direction: found.direction,
        accept_types: found.acceptTypes,
        accept_wrapped_types: found.acceptWrappedTypes,
        fingerprint: found.fingerprint,
        max_size: found.maxSize,
        file_selector: found.fileSelector,
        cema: found.cema,
      },
    };
  },
  emit: emitSdp,
};

const xml: Format<XmlElement> = {
  parse: (wire) => parseXml(wire),
  plain: (root) => ({
    name: root.name,
    text: textOf(root),
    children: Object.fromEntries(root.children.map((child) => [child.name, textOf(child)])),
  }),
};

function read(wire: Uint8Array, step: number): Frame[] {
  const framer = new Framer();
  const frames: Frame[] = [];
  for (let at = 0; at < wire.length; at += step) frames.push(...framer.receive(wire.subarray(at, at + step)));
  expect(framer.idle).toBe(true);
  return frames;
}

function msrp(step: number): Format<Frame[]> {
  return {
    parse: (wire) => read(wire, step),
    plain: (frames, sample) => {
      const expected = (sample.value as { frames: { body_base64?: string }[] }).frames;
      return { frames: frames.map((frame, at) => plainFrame(frame, expected[at]?.body_base64 !== undefined)) };
    },
    emit: (frames) => concat(...frames.map(emitFrame)),
  };
}

function plainFrame(frame: Frame, binary: boolean): unknown {
  const common = {
    kind: frame.kind,
    transaction_id: frame.transactionId,
    to_path: frame.toPath,
    from_path: frame.fromPath,
    headers: frame.headers,
  };
  if (frame.kind === "response") return { ...common, status: frame.status, comment: frame.comment };
  expect(frame.partial).toBe(false);
  const body = frame.body && Buffer.from(frame.body);
  return {
    ...common,
    method: frame.method,
    message_id: frame.messageId,
    byte_range: frame.byteRange,
    content_type: frame.contentType,
    success_report: frame.successReport,
    failure_report: frame.failureReport,
    body: binary ? null : (body?.toString() ?? null),
    ...(binary && { body_base64: body?.toString("base64") }),
    continuation: frame.continuation,
  };
}

const config: Format<ReturnType<typeof parseConfiguration>> = {
  parse: parseConfiguration,
  plain: (value) => value,
};

const fileInfo: Format<FileInfo[]> = {
  parse: parseFileInfo,
  plain: (infos, sample) =>
    infos.map((info, at) => ({
      // "file" goes without saying, but may be said.
      ...((info.type !== "file" || (sample.value as { type?: string }[])[at]?.type) && { type: info.type }),
      size: info.size,
      content_type: info.contentType,
      url: info.url,
      ...(info.until && { until: info.until }),
      ...(info.name && { name: info.name }),
      ...(info.disposition && { disposition: info.disposition }),
      ...(info.playingLength !== null && { playing_length: info.playingLength }),
      ...(info.brandedUrl && { branded_url: info.brandedUrl }),
      ...(info.fileHash && { file_hash: info.fileHash }),
    })),
  emit: buildFileInfo,
};

const resumeInfo: Format<ResumeInfo> = {
  parse: parseResumeInfo,
  plain: (value) => value,
  emit: buildResumeInfo,
};

const geolocation: Format<Location> = {
  parse: parseLocation,
  plain: ({ id, latitude, longitude, radius, label, entity, expires, timestamp }) => ({
    id,
    latitude,
    longitude,
    ...(radius && { radius }),
    ...(label && { label }),
    ...(entity && { entity }),
    ...(expires && { expires }),
    ...(timestamp && { timestamp }),
  }),
  emit: buildLocation,
};

function runs<Value>(folder: string, format: Format<Value>, least: number, title = folder): void {
  describe(title, () => {
    const found = samples(folder);
    test("has its samples", () => expect(found.length).toBeGreaterThanOrEqual(least));
    test.each(found)("$name", (sample) => {
      if (sample.error !== undefined) {
        expect(parseError(() => format.parse(sample.wire, sample)).at).toBe(sample.error.at);
        return;
      }
      const value = format.parse(sample.wire, sample);
      expect(format.plain(value, sample)).toEqual(sample.value);
      if (sample.emit) {
        expect(format.emit).toBeDefined();
        const emitted = format.emit?.(value, sample) ?? new Uint8Array();
        expect(Buffer.from(emitted).toString("latin1")).toBe(Buffer.from(sample.wire).toString("latin1"));
      }
    });
  });
}

runs("cpim", cpim, 16);
runs("imdn", imdn, 15);
runs("iscomposing", iscomposing, 8);
runs("revocation", revocation, 6);
runs("multipart", multipart, 10);
runs("sdp", sdp, 9);
runs("xml", xml, 9);
runs("config", config, 13);
runs("file_info", fileInfo, 9);
runs("resume_info", resumeInfo, 6);
runs("geolocation", geolocation, 7);
runs("msrp", msrp(2 ** 20), 38, "msrp fed whole");
runs("msrp", msrp(1), 38, "msrp fed byte by byte");
runs("msrp", msrp(7), 38, "msrp fed in sevens");
