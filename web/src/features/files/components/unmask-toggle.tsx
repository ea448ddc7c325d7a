import { Button } from "@/components/ui/button";
import { useUnmask } from "@/features/files/unmask";
import { cx } from "@/lib/cx";

/** Shows or masks personal data on the whole page of the file. */
export function UnmaskToggle({ className }: { className?: string }) {
  const { isOn, toggle } = useUnmask();
  return (
    <Button
      small
      aria-pressed={isOn}
      className={cx("aria-pressed:border-accent aria-pressed:text-accent", className)}
      onClick={toggle}
    >
      Show personal data
    </Button>
  );
}

const SAYS = {
  masked: "Personal data and secrets are masked here, such as [email]. The file is unchanged.",
  shown: "Personal data and secrets are shown on this page until you leave it or switch this off.",
};

/** Beside the toggle: what is the case. Both sentences take their room, so that nothing moves. */
export function Masked({ isUnmasked }: { isUnmasked: boolean }) {
  const said = isUnmasked ? "shown" : "masked";
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm text-muted">
      <UnmaskToggle />
      <div className="grid min-w-0 flex-1 basis-60">
        {(["masked", "shown"] as const).map((state) => (
          <p key={state} className={cx("col-start-1 row-start-1", state !== said && "invisible")}>
            {SAYS[state]}
          </p>
        ))}
      </div>
    </div>
  );
}
