import { useEffect, useRef, useState } from "react";
import { Button } from "@/components/ui/button";
import { type Described, describedKeys } from "@/lib/use-keys";

/** The key of this list comes last: a reader has just used it. */
const isHelp = ({ key }: Described) => Number(key === "?");

/** The keys of this page. The browser's own dialog: it closes on Escape and restores the focus. */
export default function KeysDialog({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [keys] = useState(() => describedKeys().sort((a, b) => isHelp(a) - isHelp(b)));
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby="keys-title"
      onClose={onClose}
      className="m-auto max-h-[85dvh] w-[calc(100vw-2rem)] max-w-md rounded-lg border border-line bg-surface p-4 text-ink backdrop:bg-black/40"
    >
      <div className="flex flex-col gap-3">
        <h2 id="keys-title" className="font-semibold">
          Keys of this page
        </h2>
        <dl className="grid grid-cols-[auto_minmax(0,1fr)] items-baseline gap-x-4 gap-y-2">
          {keys.map(({ key, does }) => (
            <div key={`${key} ${does}`} className="contents">
              <dt>
                <kbd className="rounded-sm border border-line bg-bg px-1.5 py-0.5 font-mono text-sm whitespace-nowrap">
                  {key}
                </kbd>
              </dt>
              <dd>{does}</dd>
            </div>
          ))}
        </dl>
        <p className="text-sm text-muted">They are off while you type in a text field.</p>
        <div className="flex justify-end">
          <Button autoFocus onClick={() => dialog.current?.close()}>
            Close
          </Button>
        </div>
      </div>
    </dialog>
  );
}
