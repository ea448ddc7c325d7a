import { type ReactNode, useState } from "react";
import { Button } from "@/components/ui/button";
import { cx } from "@/lib/cx";

const LONG_CHARS = 1_200;
const LONG_LINES = 16;

/** Whether a text would fill the screen. */
export const isLong = (text: string) =>
  text.length > LONG_CHARS || text.split("\n").length > LONG_LINES;

/** The drawing of a text: of a long one the beginning, until a click. */
export function Folded({ text, children }: { text: string; children: ReactNode }) {
  const [isOpen, setOpen] = useState(false);
  const isFolded = isLong(text) && !isOpen;
  return (
    <>
      <div className={cx("min-w-0", isFolded && "max-h-72 overflow-hidden")}>{children}</div>
      {isLong(text) && (
        <Button small look="quiet" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          {isOpen ? "Show the beginning" : "Show the whole text"}
        </Button>
      )}
    </>
  );
}
