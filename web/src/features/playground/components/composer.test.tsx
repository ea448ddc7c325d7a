import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { expect, test } from "vitest";
import { Composer } from "@/features/playground/components/composer";
import { DEFAULTS } from "@/features/playground/sampling";
import { useKeys } from "@/lib/use-keys";

/** The composer beside a vote whose key is 1, as on the playground's page. */
function Page({ onVote }: { onVote: () => void }) {
  const [draft, setDraft] = useState({ prompt: "", system: "" });
  useKeys({ "1": { does: "Vote", act: onVote } });
  return (
    <Composer
      draft={draft}
      onDraft={setDraft}
      samplings={[DEFAULTS]}
      onSamplings={() => {}}
      isBusy={false}
      missing={null}
      canVote
      onSend={() => setDraft({ ...draft, prompt: "" })}
      onStop={() => {}}
    />
  );
}

test("after a question was sent, the keys vote and are not typed", async () => {
  let votes = 0;
  render(<Page onVote={() => votes++} />);
  const user = userEvent.setup();
  const field = screen.getByLabelText("Message to both models");
  await user.type(field, "Name 1 colour.{Enter}");
  expect(votes).toBe(0);
  await user.keyboard("1");
  expect(votes).toBe(1);
  expect(field).toHaveValue("");
});

test("the slash key goes back to the field, which says how to leave it", async () => {
  render(<Page onVote={() => {}} />);
  await userEvent.setup().keyboard("/");
  expect(screen.getByLabelText("Message to both models")).toHaveFocus();
  expect(screen.getByLabelText("Message to both models")).toHaveValue("");
  expect(screen.getByRole("status")).toHaveTextContent("Esc leaves the field so that 1 to 4 vote");
});
