import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `npm run dev` talks to a running stack: ODDSMITH_URL=http://127.0.0.1:8000 npm run dev
const stack = process.env.ODDSMITH_URL ?? "http://127.0.0.1:8000";

const SHELL =
  /node_modules\/(react|react-dom|scheduler|openapi-fetch|@tanstack\/(react-router|router-core|history|react-store|store|react-query|query-core))\/|src\/lib\/(api|cx)\.ts/;

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
          // What every page needs lies in one file: together it packs smaller.
          groups: [{ name: "shell", test: SHELL }],
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
