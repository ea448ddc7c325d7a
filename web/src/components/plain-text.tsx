import { memo } from "react";
import { plainPieces } from "@/lib/markdown-blocks";
import { visible } from "@/lib/visible-text";

/** Text with its line breaks only; laid out in pieces, so that it may be long. */
export function PlainText({ text }: { text: string }) {
  return (
    <div className="min-w-0 wrap-anywhere whitespace-pre-wrap">
      {plainPieces(text).map((piece, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: pieces are only ever added at the end.
        <Piece key={index} text={piece} />
      ))}
    </div>
  );
}

const Piece = memo(function Piece({ text }: { text: string }) {
  return (
    <div dir="auto" className="[contain-intrinsic-size:auto_1200px] [content-visibility:auto]">
      {visible(text)}
    </div>
  );
});
