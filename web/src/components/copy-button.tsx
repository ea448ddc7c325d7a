import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { Button } from "@/components/ui/button";

const SAID_MS = 2_000;

/** Copies `text`; `what` names it to a screen reader, as in `Copy the key`. */
export function CopyButton({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState<"Copied" | "Not copied" | null>(null);
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => setSaid(null), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  return (
    <span className="inline-flex items-center gap-1">
      <Button
        look="quiet"
        small
        aria-label={`Copy ${what}`}
        onClick={(event) => {
          const place = event.currentTarget;
          copy(text, place).then((done) => setSaid(done ? "Copied" : "Not copied"));
        }}
      >
        {said === "Copied" ? (
          <Check aria-hidden="true" size={14} />
        ) : (
          <Copy aria-hidden="true" size={14} />
        )}
      </Button>
      <span aria-live="polite" className="text-sm text-muted">
        {said}
      </span>
    </span>
  );
}

async function copy(text: string, place: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers block the clipboard on pages over plain HTTP, which is common in a LAN.
    return copyBySelection(text, place);
  }
}

/** The text field stands beside the button, so that a dialog's focus trap allows its selection. */
function copyBySelection(text: string, place: HTMLElement): boolean {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "fixed opacity-0";
  place.after(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  place.focus();
  return done;
}
