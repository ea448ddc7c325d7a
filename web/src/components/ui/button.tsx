import type { ComponentProps } from "react";
import { cx } from "@/lib/cx";

const LOOKS = {
  primary: "bg-accent text-on-accent border-accent hover:border-ink",
  plain: "bg-surface text-ink border-line hover:border-muted",
  quiet: "bg-transparent text-muted border-transparent hover:text-ink",
};

export const buttonClass = (look: keyof typeof LOOKS = "plain", small = false) =>
  cx(
    "inline-flex items-center justify-center gap-2 rounded-md border font-medium whitespace-nowrap",
    "disabled:opacity-50 disabled:cursor-not-allowed",
    small ? "min-h-7 px-2 text-sm" : "min-h-9 px-3",
    LOOKS[look],
  );

type Props = ComponentProps<"button"> & { look?: keyof typeof LOOKS; small?: boolean };

export function Button({ look, small, className, type = "button", ...rest }: Props) {
  return <button type={type} className={cx(buttonClass(look, small), className)} {...rest} />;
}
