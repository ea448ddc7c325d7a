import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Needs } from "@/components/needs";
import { Button } from "@/components/ui/button";
import { deploy } from "@/features/deployments/api";
import { deploymentsQuery } from "@/lib/queries";

/** Requests the deployment of a model; shows beside the button why it failed. */
export function DeployButton({ model, children }: { model: string; children: string }) {
  const queries = useQueryClient();
  const asking = useMutation({
    mutationFn: () => deploy(model),
    onSuccess: () => queries.invalidateQueries(deploymentsQuery),
  });
  return (
    <>
      <Needs scope="write">
        <Button
          small
          aria-label={children.includes(model) ? undefined : `${children} ${model}`}
          disabled={asking.isPending}
          onClick={() => asking.mutate()}
        >
          {children}
        </Button>
      </Needs>
      {asking.error && (
        <p role="alert" className="basis-full text-sm text-rejected">
          {asking.error.message}
        </p>
      )}
    </>
  );
}
