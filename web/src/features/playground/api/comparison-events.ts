/** The frames of a comparison's stream. What isn't known here is left alone. */
import { z } from "zod/mini";

/** What the server says answers on a side. */
const Attested = z.object({
  side: z.number(),
  model: z.string(),
  adapter: z.boolean(),
  checkpoint_step: z.nullish(z.number()),
  weights_sha256: z.nullish(z.string()),
  device: z.nullish(z.string()),
});

const Choice = z.enum(["a", "b", "tie", "both_bad"]);

const Failure = z.object({ message: z.string() });

const Event = z.union([
  z.object({
    comparison: z.object({
      id: z.string(),
      choice: z.nullish(Choice),
      sides: z.array(Attested),
    }),
  }),
  z.object({ side: z.number(), delta: z.string() }),
  z.object({
    side: z.number(),
    done: z.literal(true),
    finish_reason: z.nullish(z.string()),
    usage: z.nullish(z.object({ completion_tokens: z.nullish(z.number()) })),
    first_token_s: z.nullish(z.number()),
    tokens_per_s: z.nullish(z.number()),
  }),
  z.object({ side: z.number(), error: Failure }),
  z.object({ error: Failure }),
]);

export type Attested = z.infer<typeof Attested>;
export type Choice = z.infer<typeof Choice>;
export type ComparisonEvent = z.infer<typeof Event>;

/** Null for a frame that this page doesn't know. Throws where it isn't JSON. */
export function parseEvent(data: string): ComparisonEvent | null {
  return z.safeParse(Event, JSON.parse(data)).data ?? null;
}

export function parseChoice(comparison: unknown): Choice | null {
  return z.parse(z.object({ choice: z.nullish(Choice) }), comparison).choice ?? null;
}
