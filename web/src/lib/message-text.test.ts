import { expect, test } from "vitest";
import { messageText, toolNames } from "@/lib/message-text";

test("a plain message is its content", () => {
  expect(messageText({ role: "user", content: "Hi" })).toBe("Hi");
});

test("reasoning and tool calls are shown", () => {
  const call = { type: "function", function: { name: "weather", arguments: { city: "Rome" } } };
  const turn = { role: "assistant", content: "", reasoning_content: "Hm.", tool_calls: [call] };
  expect(messageText(turn)).toBe('[reasoning]\nHm.\n\n[calls weather]\n{"city":"Rome"}');
  const text = { type: "function", function: { name: "weather", arguments: "Rome" } };
  expect(messageText({ role: "assistant", content: "I look.", tool_calls: [text] })).toBe(
    "I look.\n[calls weather]\nRome",
  );
});

test("tools are named", () => {
  expect(
    toolNames([{ type: "function", function: { name: "a" } }, { function: { name: "b" } }]),
  ).toBe("a, b");
});
