import { useQuery } from "@tanstack/react-query";
import { Download } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import { useState } from "react";
import { Button } from "@/components/ui/button";
import { downloadUrl, hasAdapterQuery, type Model } from "@/features/deployments/api";

const itemClass =
  "block rounded-md px-3 py-2 outline-none data-highlighted:bg-bg data-highlighted:text-accent";

/**
 * Downloads a tuned model: as a tar its adapter, if it has one, or whole weights; or one GGUF file,
 * unless it is a reward model, which llama.cpp can't run.
 */
export function DownloadMenu({ model: { id, job_id: jobId, use } }: { model: Model }) {
  const [isOpen, setOpen] = useState(false);
  const hasAdapter = useQuery({ ...hasAdapterQuery(jobId ?? ""), enabled: isOpen && !!jobId });
  return (
    <DropdownMenu.Root open={isOpen} onOpenChange={setOpen} modal={false}>
      <DropdownMenu.Trigger asChild>
        <Button small aria-label={`Download ${id}`}>
          <Download aria-hidden="true" size={14} />
          Download
        </Button>
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          align="end"
          sideOffset={4}
          collisionPadding={8}
          className="z-20 max-w-72 rounded-lg border border-line bg-surface p-1"
        >
          {hasAdapter.data !== false && (
            <DropdownMenu.Item asChild className={itemClass}>
              <a href={downloadUrl(id, "adapter")} download>
                <span className="font-medium">Adapter</span>
                <span className="block text-sm text-muted">
                  Only what training added. It works only with its base model.
                </span>
              </a>
            </DropdownMenu.Item>
          )}
          <DropdownMenu.Item asChild className={itemClass}>
            <a href={downloadUrl(id, "merged")} download>
              <span className="font-medium">Merged</span>
              <span className="block text-sm text-muted">
                Whole weights that need nothing else. The first time they are merged before the
                download begins.
              </span>
            </a>
          </DropdownMenu.Item>
          {use !== "judge" && (
            <DropdownMenu.Item asChild className={itemClass}>
              <a href={downloadUrl(id, "gguf")} download>
                <span className="font-medium">GGUF</span>
                <span className="block text-sm text-muted">
                  One file for llama.cpp, Ollama or LM Studio. The first time it is made before the
                  download begins, which takes minutes.
                </span>
              </a>
            </DropdownMenu.Item>
          )}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
