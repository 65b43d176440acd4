/** The two ways a protocol core fails: the peer's bytes are wrong, or our own call is. */

/** The peer sent something that is not what the grammar says: `what` in words, `at` the offset in bytes. */
export class ParseError extends Error {
  override readonly name: string = "ParseError";

  constructor(
    readonly what: string,
    readonly at: number = 0,
  ) {
    super(`${what} at offset ${at}`);
  }
}

/** We broke the protocol: a bug of ours, never the peer's fault. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}
