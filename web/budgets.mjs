// What each room of the page weighs, gzipped, against its budget: `npm run budgets`, after a build.
// A room is its own code and what only it needs; the shell is what every page loads first, and the
// data what every page loads beside its own code, to read from the API. The API
// reference at /docs is a page of its own, with its styles.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const KB = 1000;
const BUDGETS = {
  shell: 110,
  data: 16,
  charts: 30,
  home: 20,
  system: 10,
  jobs: 40,
  evaluations: 45,
  playground: 65,
  votes: 40,
  css: 10,
  reference: 520,
};

const dist = new URL("./dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8"));
const weigh = (file) => gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;

/** The chunks that load with one, itself included. */
function closure(key, found = new Set()) {
  if (found.has(key)) return found;
  found.add(key);
  for (const child of manifest[key].imports ?? []) closure(child, found);
  return found;
}

/** The chunks of a room: of a feature, or of Home, which shows several features. */
const keysOf = (name) =>
  Object.keys(manifest).filter((key) =>
    key.startsWith(name === "home" ? "src/app/home/" : `src/features/${name}/`),
  );
const shell = closure("index.html");
const data = closure(Object.keys(manifest).find((key) => manifest[key].name === "data"));
const reference = closure("docs/index.html");
const holds = (key, text) => readFileSync(new URL(manifest[key].file, dist), "utf8").includes(text);
const charts = new Set(Object.keys(manifest).filter((key) => holds(key, "u-over")));

/** What one page of a room adds to the shell, at most; data and charts count apart. */
function room(name) {
  const pages = keysOf(name).map((key) =>
    [...closure(key)]
      .filter((chunk) => !shell.has(chunk) && !data.has(chunk) && !charts.has(chunk))
      .reduce((sum, chunk) => sum + weigh(manifest[chunk].file), 0),
  );
  return Math.max(...pages);
}

/** The style sheets that chunks load. */
const styles = (keys) => keys.flatMap((key) => manifest[key].css ?? []);
const sum = (files) => [...files].reduce((total, file) => total + weigh(file), 0);
const found = {
  shell: sum([...shell].map((key) => manifest[key].file)),
  data: sum([...data].filter((key) => !shell.has(key)).map((key) => manifest[key].file)),
  charts: sum([...charts].map((key) => manifest[key].file)),
  home: room("home"),
  system: room("system"),
  jobs: room("jobs"),
  evaluations: room("evaluations"),
  playground: room("playground"),
  votes: room("votes"),
  css: sum(new Set(styles(Object.keys(manifest).filter((key) => !reference.has(key))))),
  reference: sum([...[...reference].map((key) => manifest[key].file), ...styles([...reference])]),
};

let missed = 0;
for (const [name, budget] of Object.entries(BUDGETS)) {
  const size = found[name] / KB;
  const fits = size <= budget;
  missed += fits ? 0 : 1;
  console.log(
    `${fits ? "✓" : "✗"} ${name.padEnd(10)} ${size.toFixed(1).padStart(6)} of ${budget} kB`,
  );
}
process.exitCode = missed ? 1 : 0;
