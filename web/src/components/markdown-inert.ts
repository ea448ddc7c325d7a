/** Markdown plugins that reduce a hostile answer to readable text. */
import type { Options as SanitizeOptions } from "rehype-sanitize";
import { visible } from "@/lib/visible-text";

type Node = {
  type: string;
  value?: string;
  tagName?: string;
  properties?: Record<string, unknown>;
  children?: Node[];
};

// Far more than real texts use, far less than overflows a stack or a layout.
const DEEPEST = 40;
const LONGEST_ADDRESS = 300;

/** The only allowed elements and attributes, even if the earlier plugins let others through. */
export const SCHEMA: SanitizeOptions = {
  tagNames: (
    "a blockquote br code del em h3 h4 h5 h6 hr li ol p pre span strong sup " +
    "table tbody td th thead tr ul"
  ).split(" "),
  attributes: { a: ["href"], ol: ["start"], td: ["align"], th: ["align"], "*": ["dir"] },
  protocols: { href: ["http", "https"] },
  strip: ["script", "style"],
};

// No two repeats match the same spaces, so that this is fast on any line.
const PILE = /^[ \t]*(?:(?:>|[-+*](?=[ \t])|\d{1,9}[.)](?=[ \t]))[ \t]*){20}/m;

/** Nested quotes and lists: the parser takes quadratic time for them, so check this first. */
export function isPiledUp(source: string): boolean {
  return PILE.test(source);
}

/** A remark plugin: a block that is nested too deeply is shown as its source. */
export function shallow() {
  return (tree: Node, file: { value: unknown }) => {
    if (isDeep(tree)) tree.children = [{ type: "paragraph", children: [text(String(file.value))] }];
  };
}

function isDeep(tree: Node): boolean {
  let level: Node[] = [tree];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > DEEPEST) return true;
    level = level.flatMap((node) => node.children ?? []);
  }
  return false;
}

/**
 * A rehype plugin. HTML becomes its source as text. An image becomes its description and address. A
 * link shows its address, and works only over HTTP. Headings get levels below the page's own, and
 * each block gets the direction of its own text. Runs before the sanitizer, which would silently
 * drop what should be shown.
 */
export function inert() {
  return (tree: Node) => {
    tree.children = tree.children?.flatMap((node) => {
      const made = harmless(node);
      return node.type === "raw" ? [element("p", made, { dir: "auto" })] : made;
    });
  };
}

function harmless(node: Node): Node[] {
  if (node.type === "text" || node.type === "raw") return [text(visible(node.value ?? ""))];
  if (node.type !== "element") return [];
  const children = node.children?.flatMap(harmless) ?? [];
  const { tagName = "", properties = {} } = node;
  switch (tagName) {
    case "img":
      return [
        element("span", [
          text(`[image: ${shown(properties.alt) || "no description"}] (${shown(properties.src)})`),
        ]),
      ];
    case "input":
      return [text(properties.checked ? "☑" : "☐")];
    case "a":
      return link(children, String(properties.href ?? ""));
    case "h1":
    case "h2":
    case "h3":
    case "h4":
    case "h5":
    case "h6":
      return [element(`h${Math.min(6, Number(tagName[1]) + 2)}`, children, { dir: "auto" })];
    case "p":
    case "li":
    case "td":
    case "th":
    case "blockquote":
      return [element(tagName, children, { align: properties.align, dir: "auto" })];
    case "ol":
      return [element(tagName, children, { start: properties.start })];
    default:
      return [element(tagName, children)];
  }
}

function link(children: Node[], href: string): Node[] {
  const url = URL.canParse(href) ? new URL(href) : null;
  const said = children.map(textOf).join("");
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    const isSaid = href === said || href === `mailto:${said}`;
    return isSaid ? children : [...children, text(` (${shown(href) || "no address"})`)];
  }
  // A parsed host name in look-alike letters is punycode. The address is added unless `said` is
  // equal to it.
  const address = shown(url.href);
  const isSaid = said === address || `${said}/` === address;
  return [
    element("a", isSaid ? children : [...children, element("span", [text(` (${address})`)])], {
      href: url.href,
    }),
  ];
}

function textOf(node: Node): string {
  return node.value ?? node.children?.map(textOf).join("") ?? "";
}

function shown(value: unknown): string {
  const whole = visible(typeof value === "string" ? value : "");
  return whole.length > LONGEST_ADDRESS ? `${whole.slice(0, LONGEST_ADDRESS)} …` : whole;
}

function text(value: string): Node {
  return { type: "text", value };
}

function element(tagName: string, children: Node[], properties: Node["properties"] = {}): Node {
  return { type: "element", tagName, properties, children };
}
