import { useEffect, useEffectEvent } from "react";

/** Escape works in a text field too, where a page's other shortcuts are disabled. */
export function useEscape(act: () => void) {
  const onKey = useEffectEvent((event: KeyboardEvent) => {
    if (event.key === "Escape" && !event.defaultPrevented) act();
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent) => onKey(event);
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
}
