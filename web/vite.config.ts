import { createHash } from "node:crypto";
import { compileMessage } from "@lingui/message-utils/compileMessage";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

// The page is served by the node itself from the wheel; `npm run dev` asks a node on this machine for everything else.
const node = process.env.JOYN_NODE ?? "http://127.0.0.1:8080";

/** Compiles the ICU messages of src/i18n at build time, so that no browser has to parse them. */
function catalogues(): Plugin {
  return {
    name: "joyn-catalogues",
    enforce: "pre",
    async load(id) {
      const path = id.split("?")[0] ?? "";
      if (!/\/src\/i18n\/[a-z]{2}\.ts$/.test(path)) return;
      this.addWatchFile(path);
      const { default: messages } = (await import(`${path}?${Date.now()}`)) as { default: Record<string, string> };
      const compiled = Object.entries(messages).map(([key, text]) => [key, compileMessage(text)]);
      return `export default ${JSON.stringify(Object.fromEntries(compiled))}`;
    },
  };
}

/** Tells the service worker which files make the client; the states and the demo's stage are not among them. */
function precache(): Plugin {
  return {
    name: "joyn-precache",
    generateBundle(_options, bundle) {
      const worker = bundle["sw.js"];
      if (worker?.type !== "chunk") return;
      const files = Object.keys(bundle).filter((name) => /^assets\//.test(name) && !/\/(states|demo)-/.test(name));
      const version = createHash("sha256").update(files.join()).digest("hex").slice(0, 12);
      worker.code = worker.code
        .replace(/(["'`])joyn:files\1/, JSON.stringify(files.map((name) => `/${name}`)))
        .replace("joyn:version", version);
    },
  };
}

export default defineConfig({
  plugins: [catalogues(), svelte(), precache()],
  build: {
    target: "es2023",
    outDir: "../src/joyn/webdist",
    emptyOutDir: true,
    manifest: true,
    rolldownOptions: {
      input: { index: "index.html", states: "states.html", demo: "demo.html", sw: "src/worker/sw.ts" },
      output: {
        entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js"),
      },
    },
  },
  server: {
    proxy: { "/api": node, "/config": node, "/ws": { target: node, ws: true } },
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
