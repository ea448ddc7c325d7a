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

/** The audit's findings about accepted rows. */
const FINDINGS: Record<string, string> = {
  contradiction: "contradiction",
  score_contradicts: "scores say the opposite",
  whitespace: "differ in white space only",
  private_key: "private key",
  api_key: "access key",
  control_token: "control tokens",
  transcript: "transcript in one turn",
  role_mistake: "wrong speaker",
  role_order: "order of roles",
  duplicate: "duplicate",
  near_duplicate: "near duplicate",
  both_sides: "preferred and rejected",
  repeated_prompt: "one prompt many times",
  repeated_answer: "one answer many times",
  repeats_prompt: "answer repeats the prompt",
  refusal: "refusal",
  cut: "answer cut off",
  mojibake: "broken encoding",
  control_character: "control characters",
  card_number: "card number",
  iban: "bank account",
  email: "e-mail address",
  phone_number: "phone number",
  score_tie: "scores are equal",
  mixed_language: "another language",
  likely_swapped: "likely swapped",
  unclear: "preference unclear",
};

export const findingInWords = (code: string) => FINDINGS[code] ?? code.replaceAll("_", " ");
