// What every client of this directory does with its standard input and output: a command a line, an event a line.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const web = createRequire(new URL("../../../web/package.json", import.meta.url));

/** A package that the web client's package.json names. */
export const load = async (name) => await import(pathToFileURL(web.resolve(name)));

/** Where and as whom: what the test gave as the only argument. */
export const account = JSON.parse(process.argv[2]);

/** Tells the test. */
export const tell = (event, what) => console.log(what === undefined ? event : `${event} ${JSON.stringify(what)}`);

/** Does what the test types: `name {"JSON": …}`. */
export function obey(commands) {
  createInterface({ input: process.stdin }).on("line", (line) => {
    const end = line.indexOf(" ");
    commands[end < 0 ? line : line.slice(0, end)](end < 0 ? undefined : JSON.parse(line.slice(end)));
  });
}
