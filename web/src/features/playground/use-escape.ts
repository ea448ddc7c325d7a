import { useEffect, useEffectEvent } from "react";
import { isInDialog, useKeyNotes } from "@/lib/use-keys";

/** Escape works in a text field too, where a page's other shortcuts are disabled. */
export function useEscape(does: string, act: () => void) {
  useKeyNotes({ Esc: does });
  const onKey = useEffectEvent((event: KeyboardEvent) => {
    // In a dialog, Escape closes the dialog.
    if (event.key === "Escape" && !event.defaultPrevented && !isInDialog(event.target)) act();
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent) => onKey(event);
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
}
