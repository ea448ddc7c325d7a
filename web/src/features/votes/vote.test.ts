import { expect, test } from "vitest";
import { askAgain, askedOf, betterSide, tunedOf, voterText } from "@/features/votes/vote";

const user = (content: string) => ({ role: "user", content });
const voted = (first: object[], second: object[] = first, held_out: object | null = null) =>
  ({
    held_out,
    sides: [
      { model: "base", asked: { messages: first } },
      { model: "tuned", asked: { messages: second } },
    ],
  }) as never;

test("a single question can be asked again, and a conversation can't", () => {
  expect(askAgain(voted([user("Why?")]))).toEqual({ a: "base", b: "tuned", ask: "Why?" });
  expect(askAgain(voted([{ role: "system", content: "S" }, user("Why?")]))).toBeNull();
  expect(askAgain(voted([user("x".repeat(4_001))]))).toBeNull();
  expect(askAgain(voted([]))).toBeNull();
});

test("a held-out prompt is asked again as such", () => {
  const vote = voted([user("1"), user("2")], undefined, { job_id: "ftjob-1", line: 7 });
  expect(askAgain(vote)).toEqual({ a: "base", b: "tuned", job: "ftjob-1", line: "7" });
});

test("sides that were asked different things share no question", () => {
  expect(askedOf(voted([user("1")], [user("2")]))).toBeNull();
  expect(askAgain(voted([user("1")], [user("2")]))).toBeNull();
});

test("only a better answer has a side", () => {
  expect(
    (["a", "b", "tie", "both_bad", null] as const).map((c) => betterSide({ choice: c })),
  ).toEqual([0, 1, null, null, null]);
});

test("the run of the first tuned model is found, also of its checkpoint", () => {
  const models = [
    { id: "base", job_id: null },
    { id: "ft:base:org::1", job_id: "ftjob-1" },
    { id: "ft:base:org::2", job_id: "ftjob-2" },
  ];
  expect(tunedOf(["base", "ft:base:org::2:ckpt-step-4", "ft:base:org::1"], models)).toEqual({
    model: "ft:base:org::2:ckpt-step-4",
    jobId: "ftjob-2",
  });
  expect(tunedOf(["base", "ft:base:org::12"], models)).toBeNull();
});

test("a voter has a name", () => {
  const ada = { voted_by: "key-1", voter: "Ada" };
  expect(voterText(ada)).toBe("Ada");
  expect(voterText(ada, "key-1")).toBe("Ada (you)");
  expect(voterText({ voted_by: "key-2", voter: null }, "key-1")).toBe("key-2");
  expect(voterText({ voted_by: null, voter: null }, "key-1")).toBe("an unknown key");
});
