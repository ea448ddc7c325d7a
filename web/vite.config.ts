import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `npm run dev` talks to a running stack: ODDSMITH_URL=http://127.0.0.1:8000 npm run dev
const stack = process.env.ODDSMITH_URL ?? "http://127.0.0.1:8000";

const SHELL =
  /node_modules\/(react|react-dom|scheduler|use-sync-external-store|@tanstack\/(react-router|router-core|history|react-store|store))\/|lucide-react\/dist\/esm\/(?!icons)|src\/lib\/(api-error|cx)\.ts|src\/components\/ui\/button/;
const DATA =
  /node_modules\/(openapi-fetch|@tanstack\/(react-query|query-core))\/|src\/lib\/(api|queries|pages)\.ts|src\/components\/server-data/;

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    target: "es2023",
    manifest: true,
    modulePreload: { polyfill: false }, // every browser of the target has it
    rolldownOptions: {
      input: ["index.html", "docs/index.html"],
      output: {
        codeSplitting: {
          // What draws the frame lies in one file, and what reads data in another, which loads
          // beside the code of the page. Together they pack smaller.
          groups: [
            { name: "shell", test: SHELL },
            { name: "data", test: DATA },
          ],
        },
      },
    },
  },
  server: {
    proxy: {
      "/v1": { target: stack, changeOrigin: false },
      "/openapi.json": { target: stack, changeOrigin: false },
    },
  },
  test: {
    environment: "jsdom",
    setupFiles: "src/testing/setup.ts",
    include: ["src/**/*.test.{ts,tsx}"],
  },
});
