// Unpacks the Chromium of the npm package into the folder that is named: the binary, the libraries
// that it needs where the machine lacks them, and fonts. No package manager of the system is asked.
import { createReadStream, createWriteStream } from "node:fs";
import { chmod, mkdir } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";

const out = process.argv[2];
const packed = new URL("./node_modules/@sparticuz/chromium/bin/", import.meta.url);
await mkdir(out, { recursive: true });
for (const [from, to] of [
  ["chromium.br", "chromium"],
  ["al2023.tar.br", "libraries.tar"],
  ["fonts.tar.br", "fonts.tar"],
]) {
  const target = `${out}/${to}`;
  await pipeline(
    createReadStream(new URL(from, packed)),
    createBrotliDecompress(),
    createWriteStream(target),
  );
}
await chmod(`${out}/chromium`, 0o755);
