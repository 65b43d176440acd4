import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// The page is served by the node itself from the wheel; `npm run dev` asks a node on this machine for everything else.
const node = process.env.JOYN_NODE ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [svelte()],
  build: { target: "es2023", outDir: "../src/joyn/webdist", emptyOutDir: true, manifest: true },
  server: {
    proxy: { "/api": node, "/config": node, "/ws": { target: node, ws: true } },
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
