/** The node's HTTP interface: typed, with time-outs, and failures as words. */

import type { Environment } from "./environment";

/** Milliseconds that an answer may take. */
export const ANSWER_WITHIN = 20_000;

/** The answer is an error: `word` is the API's own, or `offline` when there was none, `broken` when it made no sense. */
export class HttpProblem extends Error {
  override readonly name = "HttpProblem";

  constructor(
    readonly status: number,
    readonly word: string,
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(`${status} ${word}`);
  }

  /** A number beside the word. */
  number(name: string): number | undefined {
    const value = this.details[name];
    return typeof value === "number" ? value : undefined;
  }

  /** A text beside the word. */
  text(name: string): string | undefined {
    const value = this.details[name];
    return typeof value === "string" ? value : undefined;
  }
}

export interface SignInAnswer {
  aor: string;
  number: string;
  length: number;
  again: number;
}

export interface SessionAnswer {
  aor: string;
  number: string;
  profile_name: string;
  device: string;
  operator: { name: string; theme: string; country: string; terms_url?: string | null; help_url?: string | null };
}

export interface HistoryItem {
  cursor: string;
  direction: "incoming" | "outgoing";
  peer: string;
  message_id: string;
  at: number;
  content_type: string;
  cpim: string;
  state: "sent" | "stored" | "delivered" | "displayed" | "failed";
  kind: string;
}

export interface DeviceAnswer {
  id: string;
  name: string;
  browser: string;
  system: string;
  last_active: number;
  here: boolean;
}

/** Leave to use the content server until `until` (seconds since 1970); sizes in bytes. */
export interface FileLeave {
  url: string;
  ticket: string;
  until: number;
  max_file: number;
  warn_above: number;
  /** Origins of other operators' content servers, which files are fetched from. */
  others: string[];
}

export interface HistoryAnswer {
  items: HistoryItem[];
  more?: boolean;
}

export class Http {
  readonly #environment: Pick<Environment, "fetch" | "after">;

  constructor(environment: Pick<Environment, "fetch" | "after">) {
    this.#environment = environment;
  }

  requestCode(number: string, country: string, device: object): Promise<SignInAnswer> {
    return this.#json("POST", "/api/sign-in", { number, country, device });
  }

  enterCode(code: string): Promise<{ aor: string }> {
    return this.#json("POST", "/api/sign-in/code", { code });
  }

  async session(): Promise<SessionAnswer> {
    const response = await this.#call("GET", "/api/session");
    // 204: nobody has signed in here, which is no failure; 401 is for a session that has ended.
    if (response.status === 204) throw new HttpProblem(401, "signed-out");
    return response.json();
  }

  operator(): Promise<SessionAnswer["operator"]> {
    return this.#json("GET", "/api/operator");
  }

  async signOut(): Promise<void> {
    await this.#call("DELETE", "/api/session");
  }

  async answerTerms(accept: boolean): Promise<void> {
    await this.#call("POST", "/api/terms", { accept });
  }

  /**
   * The RCC.14 document, with a password for one connection.
   *
   * To whoever has no session the node answers as to any new device (facts §9.3), with 403 or nothing: then the session
   * is asked for, which says whether it has ended.
   */
  async configuration(): Promise<Uint8Array> {
    const query = new URLSearchParams({
      vers: "0",
      rcs_version: "11.0",
      rcs_profile: "UP_2.4",
      client_vendor: "joyn",
      client_version: "web-0.1.0",
      terminal_vendor: "web",
    });
    try {
      const response = await this.#call("GET", `/config?${query}`);
      const document = new Uint8Array(await response.arrayBuffer());
      if (document.length > 0) return document;
      throw new HttpProblem(response.status, "broken");
    } catch (error) {
      if (error instanceof HttpProblem && error.word !== "offline") await this.session();
      throw error;
    }
  }

  history(where: { before?: string; after?: string; limit: number }): Promise<HistoryAnswer> {
    const query = new URLSearchParams({ limit: String(where.limit) });
    if (where.before !== undefined) query.set("before", where.before);
    if (where.after !== undefined) query.set("after", where.after);
    return this.#json("GET", `/api/history?${query}`);
  }

  search(text: string): Promise<HistoryAnswer> {
    return this.#json("GET", `/api/search?${new URLSearchParams({ q: text, limit: "50" })}`);
  }

  blocks(): Promise<string[]> {
    return this.#json("GET", "/api/blocks");
  }

  async block(aor: string, blocked: boolean): Promise<void> {
    await this.#call(blocked ? "PUT" : "DELETE", `/api/blocks/${encodeURIComponent(aor)}`);
  }

  async setProfile(name: string): Promise<void> {
    await this.#call("PUT", "/api/profile", { name });
  }

  async report(aor: string, messageIds: string[]): Promise<void> {
    await this.#call("POST", "/api/reports", { aor, message_ids: messageIds });
  }

  devices(): Promise<DeviceAnswer[]> {
    return this.#json("GET", "/api/devices");
  }

  async signOutDevice(id: string): Promise<void> {
    await this.#call("DELETE", `/api/devices/${encodeURIComponent(id)}`);
  }

  async signOutOthers(): Promise<void> {
    await this.#call("POST", "/api/devices/sign-out-others");
  }

  /** Rejects with 404 when the operator has no content server. */
  async files(): Promise<FileLeave> {
    const response = await this.#call("GET", "/api/files");
    // 204 on the wire: to have none is no failure of the node's.
    if (response.status === 204) throw new HttpProblem(404, "no-content-server");
    return response.json();
  }

  async pushKey(): Promise<string> {
    return (await this.#json<{ key: string }>("GET", "/api/push")).key;
  }

  async setPush(subscription: object): Promise<void> {
    await this.#call("PUT", "/api/push", subscription);
  }

  async #json<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await this.#call(method, path, body);
    return response.json().catch(() => {
      throw new HttpProblem(response.status, "broken");
    });
  }

  async #call(method: string, path: string, body?: object): Promise<Response> {
    const giveUp = new AbortController();
    const stop = this.#environment.after(ANSWER_WITHIN, () => giveUp.abort());
    try {
      const response = await this.#environment.fetch(path, {
        method,
        credentials: "same-origin",
        cache: "no-store",
        redirect: "error",
        signal: giveUp.signal,
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
      });
      if (response.ok) return response;
      throw await problemIn(response);
    } catch (error) {
      throw error instanceof HttpProblem ? error : new HttpProblem(0, "offline");
    } finally {
      stop();
    }
  }
}

async function problemIn(response: Response): Promise<HttpProblem> {
  const details = await response.json().catch(() => null);
  const known = typeof details === "object" && details !== null ? (details as Record<string, unknown>) : {};
  const word = typeof known.error === "string" ? known.error : response.status >= 500 ? "service-down" : "broken";
  return new HttpProblem(response.status, word, known);
}
