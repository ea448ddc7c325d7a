/** Splits growing markdown into blocks, so that a finished block is parsed only once. */

// Parsing can take more than linear time, so no block gets longer than about twice this.
export const LONGEST = 4_000;
// Shorter blocks are joined, so that 100,000 blank lines are one block.
const SHORTEST = 300;

// No two repeats here may match the same spaces: a hostile line would take very long.
const FENCE = /^\s*(?:(?:[-*+]|\d{1,9}[.)])\s+)*(`{3,}(?=[^`]*$)|~{3,})/;
const ITEM = /^(?:[-*+]|\d{1,9}[.)])(?:\s|$)/;

/**
 * Cuts at blank lines, except within a code fence or a list. A block that grows too long is cut at
 * a line; a code fence that is cut is reopened in the next block. Each line is read once, however
 * often `split` is called with a longer text.
 */
export class BlockSplitter {
  private text = "";
  private done: string[] = [];
  private start = 0;
  private line = 0;
  private fence: string | null = null;
  private reopened = "";
  private afterBlank = false;

  /** The blocks so far. The last one may still grow, the others never change. */
  split(text: string): string[] {
    if (!text.startsWith(this.text)) this.reset();
    this.text = text;
    for (let end = text.indexOf("\n", this.line); end >= 0; end = text.indexOf("\n", this.line)) {
      this.readLine(text.slice(this.line, end));
      this.line = end + 1;
      this.cutOverlong(this.line);
      if (this.line - this.start > LONGEST) this.cut(this.line);
    }
    this.cutOverlong(text.length);
    const tail = text.slice(this.start);
    return tail === "" ? [...this.done] : [...this.done, this.reopened + tail];
  }

  private reset() {
    this.done = [];
    this.start = 0;
    this.line = 0;
    this.fence = null;
    this.reopened = "";
    this.afterBlank = false;
  }

  private readLine(line: string) {
    const mark = FENCE.exec(line)?.[1];
    if (this.fence) {
      if (closes(line, this.fence)) this.fence = null;
      return;
    }
    if (line.trim() === "") {
      this.afterBlank = true;
      return;
    }
    if (this.afterBlank && this.beginsBlock(line)) this.cut(this.line);
    this.afterBlank = false;
    if (mark) this.fence = mark;
  }

  /** An indented line, or a further item, still belongs to the list before the blank line. */
  private beginsBlock(line: string): boolean {
    if (this.line - this.start < SHORTEST || /^\s/.test(line)) return false;
    return !(ITEM.test(line) && ITEM.test(this.text.slice(this.start, this.start + 12)));
  }

  /** A very long line is cut at any place, but not within a character. */
  private cutOverlong(end: number) {
    while (end - this.start > 2 * LONGEST) {
      const at = this.start + LONGEST;
      const low = this.text.charCodeAt(at);
      this.cut(low >= 0xdc00 && low <= 0xdfff ? at + 1 : at);
      this.line = Math.max(this.line, this.start);
    }
  }

  private cut(at: number) {
    if (at <= this.start) return;
    this.done.push(this.reopened + this.text.slice(this.start, at));
    this.start = at;
    this.reopened = this.fence ? `${this.fence}\n` : "";
  }
}

function closes(line: string, fence: string): boolean {
  const bare = line.trim();
  return bare.length >= fence.length && bare === fence.charAt(0).repeat(bare.length);
}

/** Plain text in pieces that a browser lays out one by one; cut at lines where there are any. */
export function plainPieces(text: string, longest = 4_000): string[] {
  const pieces: string[] = [];
  let start = 0;
  while (text.length - start > longest) {
    const line = text.lastIndexOf("\n", start + longest) + 1;
    const at = line > start ? line : start + longest;
    pieces.push(text.slice(start, at));
    start = at;
  }
  if (start < text.length) pieces.push(text.slice(start));
  return pieces;
}
