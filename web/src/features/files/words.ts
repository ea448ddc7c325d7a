/** The report's shapes and codes in words. */
const SHAPES: Record<string, string> = {
  explicit: "prompt, chosen and rejected",
  openai: "OpenAI's preference format",
  implicit: "chosen and rejected conversations that share their beginning",
  hh_rlhf: "HH-RLHF transcripts",
  sharegpt: "ShareGPT conversations",
  ranked: "ranked responses, the best against the worst",
  messages: "conversations with one answer",
  ms_swift: "conversations with a rejected answer beside them (ms-swift)",
  alpaca: "instructions with two answers (Alpaca)",
  thumbs: "answers with a thumb up or down, paired by prompt",
};

const REMARKS: Record<string, string> = {
  unused_key: "is not read",
  spelled_messages: "spells messages in JSON, which were read",
  duplicate_key: "stands twice in an object; the last value was read",
};

const REASONS: Record<string, string> = {
  not_a_pair: "not a pair",
  empty: "empty text",
  identical: "chosen equals rejected",
  bad_text: "text with broken characters",
  bad_json: "not JSON",
  bad_utf8: "not UTF-8",
  line_too_long: "row too long",
  too_deep: "nested too deeply",
  unknown_container: "unknown kind of file",
  bad_encoding: "unknown encoding",
  bad_table: "broken table",
  bad_parquet: "broken Parquet",
  bad_gzip: "broken gzip",
  bad_zstd: "broken zstd",
  truncated: "file cut off",
  bomb: "unpacks to too much",
  old_line_ends: "line ends of old Mac systems",
  unpaired: "thumb without its opposite",
  columns: "mapped column is missing",
};

export const shapeInWords = (shape: string) => SHAPES[shape] ?? shape.replaceAll("_", " ");

export const remarkInWords = (code: string) => REMARKS[code] ?? code.replaceAll("_", " ");

export const reasonInWords = (code: string) => REASONS[code] ?? code.replaceAll("_", " ");
