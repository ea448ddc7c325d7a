import { Markdown } from "@/components/markdown";
import { change } from "@/features/playground/api/held-out";
import type { HeldOut } from "@/features/playground/conversation";
import { cx } from "@/lib/cx";
import { signed } from "@/lib/format";

/** The answers of the held-out pair itself, to compare with the models. */
export function ReferencePair({ pair }: { pair: HeldOut["pair"] }) {
  const by = change(pair);
  return (
    <section aria-label={`Held-out pair, line ${pair.line}`} className="flex flex-col gap-2">
      <p className="text-sm text-muted">
        Held-out pair, line {pair.line}.
        {by !== null &&
          ` Training moved its log odds ratio by ${signed(by)}, ${by < 0 ? "towards the rejected answer" : "towards the chosen answer"}.`}
      </p>
      <div className="grid gap-4 md:grid-cols-2">
        <Reference name="Chosen" text={pair.chosen} />
        {typeof pair.rejected === "string" && <Reference name="Rejected" text={pair.rejected} />}
      </div>
    </section>
  );
}

function Reference({ name, text }: { name: "Chosen" | "Rejected"; text: string }) {
  const isChosen = name === "Chosen";
  return (
    <div
      className={cx(
        "flex min-w-0 flex-col gap-2 border-l-2 py-1 pl-4",
        isChosen ? "border-l-chosen" : "border-l-rejected [border-left-style:dashed]",
      )}
    >
      <h3 className={cx("text-sm font-semibold", isChosen ? "text-chosen" : "text-rejected")}>
        {name}
      </h3>
      <Markdown text={text} />
    </div>
  );
}
