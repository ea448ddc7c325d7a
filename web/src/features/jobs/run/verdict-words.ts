/** The verdict on a run in sentences, for its page and for Home. */
import { READINGS } from "@/features/jobs/outcome";
import {
  accuracyText,
  fewText,
  gradientText,
  marginText,
  type Verdict,
} from "@/features/jobs/run/verdict";

export type Said = {
  answer: string;
  tone: "good" | "bad" | null;
  /** Sentences; the first `strong` ones matter most. */
  strong: string | null;
  text: string;
};

/** Whether the run is healthy; with warnings, `findings` of the verdict are to be listed. */
export function healthSaid(
  { findings, early, clipped }: Verdict,
  about: { ended: boolean; hasAnswers: boolean },
): Said {
  if (findings.length > 0)
    return {
      answer: findings.length === 1 ? "One warning" : `${findings.length} warnings`,
      tone: "bad",
      strong: findings.map(({ title }) => title).join(" "),
      text: findings.map(({ advice }) => advice).join(" "),
    };
  if (early)
    return {
      answer: "Too early to say",
      tone: null,
      strong: null,
      text: "Ten steps or a second evaluation are needed first.",
    };
  const sinks = about.hasAnswers ? "the chosen answers did not sink, " : "";
  const end = about.ended ? ", no overfit" : " so far";
  return {
    answer: "Healthy",
    tone: "good",
    strong: null,
    text: `Every number is finite, ${sinks}${gradientText(clipped)}${end}.`,
  };
}

/** Whether the training helped, by the held-out pairs. */
export function effectSaid({ effect }: Verdict): Said {
  if (!effect)
    return {
      answer: "Not measured yet",
      tone: null,
      strong: null,
      text: "The first comparison comes with the second evaluation on held-out pairs.",
    };
  const { accuracy, margin, reading } = effect;
  const moved = margin && `${margin.name} ${marginText(margin)}.`;
  return {
    answer: accuracy ? `Accuracy ${accuracyText(accuracy, effect.heldOut)}` : "",
    tone: reading === "helped" ? "good" : reading === "hurt" ? "bad" : null,
    strong: fewText(effect),
    text: [moved, accuracy && READINGS[reading]].filter(Boolean).join(" "),
  };
}
