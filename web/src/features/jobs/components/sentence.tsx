/** A sentence of the API, with names between backticks. */
export function Sentence({ text }: { text: string }) {
  return text.split("`").map((part, index) =>
    index % 2 === 1 ? (
      // biome-ignore lint/suspicious/noArrayIndexKey: the parts of a sentence never move.
      <code key={index} className="font-mono">
        {part}
      </code>
    ) : (
      part
    ),
  );
}
