import { expect, test } from "vitest";
import { type Comparison, type Side, UNASKED } from "@/features/playground/comparison";
import { messagesFor, type Turn, turnsReducer, unpack } from "@/features/playground/conversation";

function turn(id: number, prompt: string, ...answers: Partial<Side>[]): Turn {
  const sides = UNASKED.sides.map((side, at) => ({ ...side, status: "done", ...answers[at] }));
  return {
    id,
    prompt,
    heldOut: null,
    models: ["a", "b"],
    comparison: { ...UNASKED, sides: sides as Comparison["sides"] },
  };
}

test("each side is sent its own history", () => {
  const turns = [turn(1, "hi", { text: "A1" }, { text: "B1" })];
  const said = { system: " Be brief. ", opening: [], turns, prompt: "more" };
  expect(messagesFor(1, said)).toEqual([
    { role: "system", content: "Be brief." },
    { role: "user", content: "hi" },
    { role: "assistant", content: "B1" },
    { role: "user", content: "more" },
  ]);
});

test("a turn that a side failed or left empty isn't in its history", () => {
  const turns = [
    turn(1, "one", { text: "part", status: "failed" }, { text: "B1" }),
    turn(2, "two", { text: "A2" }, { text: "" }),
  ];
  const said = { system: "", opening: [], turns, prompt: "three" };
  expect(messagesFor(0, said).map(({ content }) => content)).toEqual(["two", "A2", "three"]);
  expect(messagesFor(1, said).map(({ content }) => content)).toEqual(["one", "B1", "three"]);
});

test("a held-out prompt is taken apart", () => {
  expect(
    unpack([
      { role: "system", content: "S" },
      { role: "user", content: "1" },
      { role: "assistant", content: "2" },
      { role: "user", content: "3" },
    ]),
  ).toEqual({
    system: "S",
    opening: [
      { role: "user", content: "1" },
      { role: "assistant", content: "2" },
    ],
    draft: "3",
  });
});

test("asking again takes the place of the failed turn", () => {
  const turns = [turn(1, "one", { text: "A" }), turn(2, "two", { status: "failed" })];
  const { comparison: _, ...again } = turn(2, "two");
  const after = turnsReducer(turns, { type: "ask", turn: again });
  expect(after.map(({ id }) => id)).toEqual([1, 2]);
  expect(after[1]?.comparison).toBe(UNASKED);
});
