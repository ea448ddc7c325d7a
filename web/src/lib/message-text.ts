import type { Schema } from "@/lib/api";

type Message = Schema<"MessageObject">;

/** A message as text: its thought, its content, and its tool calls. */
export function messageText(message: Message): string {
  const calls = message.tool_calls?.map(
    ({ function: { name, arguments: given } }) =>
      `[calls ${name}]\n${typeof given === "string" ? given : JSON.stringify(given)}`,
  );
  const thought = message.reasoning_content && `[reasoning]\n${message.reasoning_content}\n`;
  return [thought, message.content, ...(calls ?? [])].filter(Boolean).join("\n");
}

/** The names of tool definitions in their normal form, separated by commas. */
export function toolNames(tools: Record<string, unknown>[]): string {
  return tools.map((tool) => (tool.function as { name?: string } | undefined)?.name).join(", ");
}
