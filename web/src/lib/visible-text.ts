/** Makes hidden characters in a model's text visible. Use it wherever such text is shown. */

const RANGES: [number, number][] = [
  [0x00, 0x08],
  [0x0b, 0x0c],
  [0x0e, 0x1f],
  [0x7f, 0x9f],
  [0xad, 0xad],
  [0x34f, 0x34f],
  [0x61c, 0x61c],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180e, 0x180e],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x206f],
  [0x3164, 0x3164],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff9, 0xfffb],
  [0xe0000, 0xe007f],
  [0xe0100, 0xe01ef],
];

const coded = (code: number) => `\\u{${code.toString(16)}}`;
const HIDDEN = new RegExp(
  `[${RANGES.map(([first, last]) => `${coded(first)}-${coded(last)}`).join("")}]`,
  "gu",
);
// Emoji, and scripts that need joiners, use them legitimately.
const JOINED =
  /[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{M}\p{Script=Arabic}\p{Script=Syriac}]$/u;
const PLAIN = /[^\s\p{Cf}\p{Cc}\p{Variation_Selector}]$/u;

/**
 * Replace characters that reorder text (bidi controls), have no width (zero width, tags) or move a
 * cursor with a mark such as `‹U+202E›`, so that the reader sees the real text.
 */
export function visible(text: string): string {
  return text.replace(HIDDEN, (char, at: number) => {
    const code = char.codePointAt(0) ?? 0;
    const before = text.slice(Math.max(0, at - 2), at);
    if ((code === 0x200c || code === 0x200d) && JOINED.test(before)) return char;
    if (code >= 0xfe00 && code <= 0xfe0f && PLAIN.test(before)) return char;
    return `‹U+${code.toString(16).toUpperCase().padStart(4, "0")}›`;
  });
}
