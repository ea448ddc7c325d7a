import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import type { Model } from "@/features/deployments/api";
import { DownloadMenu } from "@/features/deployments/download-menu";

async function formatsOf(more: Partial<Model>) {
  const model = { id: "ft:smol:acme:a:1", kind: "tuned", use: "chat", ...more } as Model;
  render(
    <QueryClientProvider client={new QueryClient()}>
      <DownloadMenu model={model} />
    </QueryClientProvider>,
  );
  await userEvent.setup().click(screen.getByRole("button", { name: /^Download/ }));
  const items = await screen.findAllByRole("menuitem");
  return items.map((item) => new URL(item.getAttribute("href") ?? "", "http://x").search);
}

test("a tuned model can be downloaded as an adapter, whole weights or a GGUF file", async () => {
  expect(await formatsOf({})).toEqual(["?format=adapter", "?format=merged", "?format=gguf"]);
});

test("a reward model has no GGUF file", async () => {
  expect(await formatsOf({ use: "judge" })).not.toContain("?format=gguf");
});
