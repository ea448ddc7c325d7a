import { X } from "lucide-react";
import { useEffect, useState } from "react";
import { Button } from "@/components/ui/button";
import { type Notice, notify, useNotice } from "@/lib/notice";

const SHOWN_MS = 12_000;

/**
 * What an action has done, above the lower edge of the window, with `Undo` if it can be undone. It
 * goes by itself, but not while the pointer or the focus is on it.
 */
export function NoticeBar() {
  const notice = useNotice();
  return (
    <div
      role="status"
      className="pointer-events-none fixed inset-x-0 bottom-28 z-20 flex justify-center px-4 md:bottom-16 md:left-52"
    >
      {notice && <Shown key={notice.text} notice={notice} />}
    </div>
  );
}

function Shown({ notice }: { notice: Notice }) {
  const [isHeld, setHeld] = useState(false);
  const [failed, setFailed] = useState<string | null>(null);
  useEffect(() => {
    if (isHeld || failed) return;
    const timer = setTimeout(() => notify(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [isHeld, failed]);
  const undo = () =>
    notice.undo?.().then(
      () => notify(null),
      (error: Error) => setFailed(error.message),
    );
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only waits while it is looked at.
    <div
      onPointerEnter={() => setHeld(true)}
      onPointerLeave={() => setHeld(false)}
      onFocus={() => setHeld(true)}
      onBlur={() => setHeld(false)}
      className="pointer-events-auto flex max-w-full items-center gap-2 rounded-lg border border-muted bg-surface py-1.5 pr-1.5 pl-3"
    >
      <span className="min-w-0 break-words">{failed ?? notice.text}</span>
      {notice.undo && (
        <Button small onClick={undo}>
          Undo
        </Button>
      )}
      <Button small look="quiet" aria-label="Dismiss" onClick={() => notify(null)}>
        <X aria-hidden="true" size={14} />
      </Button>
    </div>
  );
}
