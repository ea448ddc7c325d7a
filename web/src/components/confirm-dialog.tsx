import { useMutation } from "@tanstack/react-query";
import { cloneElement, type ReactElement, type ReactNode, useId, useRef } from "react";
import { ErrorPanel } from "@/components/error-panel";
import { Button } from "@/components/ui/button";

/**
 * Asks for confirmation before an action that can't be undone; if it fails, shows the reason.
 *
 * The browser's own dialog: it traps the focus, closes on Escape, and restores the focus.
 */
export function ConfirmDialog(props: {
  trigger: ReactElement<{ onClick?: () => void }>;
  title: string;
  /** The verb on the button, such as `Delete the file`. */
  confirm: string;
  onConfirm: () => Promise<unknown>;
  /** Called when the question is asked, to read what the text needs. */
  onOpen?: () => void;
  children: ReactNode;
}) {
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  const close = () => dialog.current?.close();
  const action = useMutation({ mutationFn: props.onConfirm, onSuccess: close });
  const open = () => {
    action.reset();
    props.onOpen?.();
    dialog.current?.showModal();
  };
  return (
    <>
      {cloneElement(props.trigger, { onClick: open })}
      <dialog
        ref={dialog}
        role="alertdialog"
        aria-labelledby={`${id}-title`}
        aria-describedby={`${id}-text`}
        className="m-auto max-h-[85dvh] w-[calc(100vw-2rem)] max-w-md rounded-lg border border-line bg-surface p-4 text-start text-base font-normal whitespace-normal text-ink backdrop:bg-black/40"
      >
        <div className="flex flex-col gap-3">
          <h2 id={`${id}-title`} className="font-semibold break-words">
            {props.title}
          </h2>
          <div id={`${id}-text`} className="text-muted">
            {props.children}
          </div>
          {action.error && <ErrorPanel error={action.error} />}
          <div className="flex flex-wrap justify-end gap-2">
            <Button autoFocus onClick={close}>
              Keep it
            </Button>
            <Button look="primary" disabled={action.isPending} onClick={() => action.mutate()}>
              {action.isPending ? "One moment …" : props.confirm}
            </Button>
          </div>
        </div>
      </dialog>
    </>
  );
}
