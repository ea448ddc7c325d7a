import { Markdown } from "@/components/markdown";
import { PlainText } from "@/components/plain-text";
import type { Message } from "@/features/playground/conversation";

const WHO = { system: "System prompt", user: "You", assistant: "Assistant" };

/** A message that both sides share: the user's, or one from the start of the conversation. */
export function Said({ message }: { message: Message }) {
  return (
    <div className="flex min-w-0 flex-col gap-1">
      <p className="text-sm font-medium text-muted">{WHO[message.role]}</p>
      {message.role === "assistant" ? (
        <Markdown text={message.content} />
      ) : (
        <PlainText text={message.content} />
      )}
    </div>
  );
}

/** The messages of a held-out prompt before its open question. */
export function Opening({ messages }: { messages: Message[] }) {
  return messages.map((message, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: these never change.
    <Said key={index} message={message} />
  ));
}
