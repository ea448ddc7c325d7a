import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { beforeAll, expect, test, vi } from "vitest";
import { namingOf } from "@/features/evaluations/items";
import type { Evaluation, Item } from "@/features/evaluations/objects";
import { ItemDetail } from "@/features/evaluations/one/item-detail";

// jsdom has no layout.
beforeAll(() => {
  Element.prototype.scrollIntoView = vi.fn();
});
const HOSTILE = "<img src=x onerror=alert(1)> <script>alert(2)</script> \u202ereversed";
const answer = (text: string) => ({
  text,
  thought: HOSTILE,
  finish_reason: "length",
  completion_tokens: 7,
});
const item: Item = {
  id: "0",
  object: "evaluation.item",
  place: 0,
  line: 4,
  category: "keywords",
  turns: [[{ role: "user", content: `Say it. ${HOSTILE}` }]],
  reference: {
    instruction_id_list: ["punctuation:no_comma"],
    kwargs: [{ keyword: HOSTILE }],
  },
  answers: [answer(`It is warm. ${HOSTILE}`)],
  baseline_answers: [answer(`It is cold. ${HOSTILE}`)],
  result: {
    strict: [false],
    loose: [false],
    baseline: { strict: [true], loose: [true] },
  },
  change: -1,
  cut_off: true,
  failures: {},
  judgments: [{ text: HOSTILE, value: 0, order: "model_first", side: null, turn: 0 }],
  cut: false,
};
const naming = namingOf({
  suite: { name: "ifeval" },
  model: { model: "tuned", base_url: null },
  baseline: { model: "base", base_url: null },
} as Evaluation);

const drawn = (shown: Item = item) =>
  render(
    <ItemDetail naming={naming} hasBaseline item={shown} again={null} close={() => undefined} />,
  ).container;

function expectInert(page: HTMLElement) {
  expect(page.querySelector("img, script, iframe, form, [onerror]")).toBeNull();
  expect(page.textContent).not.toContain("\u202e");
  expect(page.textContent).toContain("<img src=x onerror=alert(1)>");
}

test("what models and judges write is text, plain and with its differences marked", () => {
  const page = drawn();
  expectInert(page);
  fireEvent.keyDown(document, { key: "d" });
  const ours = screen.getByRole("article", { name: "Answer of tuned" });
  expect(within(ours).getByText("warm").tagName).toBe("INS");
  expectInert(page);
});

test("both answers stand beside each other with what was checked and judged", () => {
  drawn();
  const base = screen.getByRole("article", { name: "Answer of base" });
  expect(base).toHaveTextContent("cut off after 7 tokens");
  expect(base).toHaveTextContent("It is cold.");
  const [, checked] = screen.getAllByRole("row");
  expect(checked).toHaveTextContent("✓ followed✗ not followed");
  expect(screen.getByText("prefers base")).toBeInTheDocument();
  expect(screen.getByRole("heading", { level: 2 })).toHaveTextContent("Line 4 ▼ got worse");
});

test("an answer that is missing or empty is said to be", () => {
  drawn({ ...item, answers: [null] });
  expect(screen.getByText("No answer was given.")).toBeInTheDocument();
  cleanup();
  const failures = { model: "The engine ended.", judge: "The judge answered 500." };
  drawn({ ...item, answers: [null], judgments: [], failures });
  expect(screen.getByText("No answer: The engine ended.")).toBeInTheDocument();
  expect(screen.getByText("The judge answered 500.")).toBeInTheDocument();
  drawn({ ...item, baseline_answers: [answer("")] });
  expect(screen.getByText("An empty answer.")).toBeInTheDocument();
});

test("a pair of the file is shown with the numbers of both sides, as text", () => {
  const numbers = { accuracy: 1, log_odds_ratio: 0.5, margin: 0.25, logps_chosen: -1 };
  const pair: Item = {
    ...item,
    reference: {
      chosen: [{ role: "assistant", content: `Warm. ${HOSTILE}` }],
      rejected: [{ role: "assistant", content: "Cold." }],
    },
    answers: [],
    baseline_answers: [],
    judgments: [],
    result: { ...numbers, baseline: { ...numbers, log_odds_ratio: 0.75 } },
    change: -0.25,
  };
  expectInert(drawn(pair));
  expect(screen.getByRole("article", { name: "Chosen answer" })).toHaveTextContent("Warm.");
  expect(screen.getByRole("article", { name: "Rejected answer" })).toHaveTextContent("Cold.");
  const [, ratio] = screen.getAllByRole("row");
  expect(ratio).toHaveTextContent("Log odds ratio0.750.50−0.25");
  expect(screen.queryByText("No answer was given.")).toBeNull();
  expect(screen.queryByText("Mark the differences")).toBeNull();
  cleanup();
  drawn({ ...pair, result: null, change: null, failures: { model: "The prompt is too long." } });
  expect(screen.getByText("Not measured under tuned: The prompt is too long.")).toBeInTheDocument();
});

test("all samples of a prompt are shown beside the baseline's, with how alike they are", () => {
  drawn({
    ...item,
    reference: {},
    judgments: [],
    answers: [answer("one"), answer("two")],
    baseline_answers: [answer("three"), answer("four")],
    result: { per_input: 0.8125, to_others: 0.25, baseline: { per_input: 0.5 } },
  });
  const names = screen.getAllByRole("article").map((each) => each.getAttribute("aria-label"));
  expect(names).toEqual([
    "Answer of base, sample 1",
    "Answer of tuned, sample 1",
    "Answer of base, sample 2",
    "Answer of tuned, sample 2",
  ]);
  const table = screen.getByRole("table", { name: "How alike the answers are" });
  expect(within(table).getAllByRole("row")[1]?.textContent).toContain("0.813");
});
