import { Keyboard } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { Key } from "@/components/key";
import { Button } from "@/components/ui/button";
import { useKeys } from "@/lib/use-keys";

const KeysDialog = lazy(() => import("@/components/keys-dialog"));

/** `?` and a button show the keys of the page; hidden where there is no keyboard. */
export function KeysHelp() {
  const [isShown, setShown] = useState(false);
  useKeys({ "?": { does: "Show this list", act: () => setShown(true) } });
  return (
    <>
      <Button
        look="quiet"
        small
        className="max-md:hidden md:justify-start"
        aria-keyshortcuts="?"
        onClick={() => setShown(true)}
      >
        <Keyboard aria-hidden="true" size={16} />
        Shortcuts
        <Key name="?" />
      </Button>
      {isShown && (
        <Suspense>
          <KeysDialog onClose={() => setShown(false)} />
        </Suspense>
      )}
    </>
  );
}
