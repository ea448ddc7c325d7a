import { useQuery } from "@tanstack/react-query";
import { ErrorPanel } from "@/components/error-panel";
import { Needs } from "@/components/needs";
import { Empty, Loading, Page } from "@/components/page";
import { DeploymentCard } from "@/features/deployments/deployment-card";
import { Models } from "@/features/deployments/models";
import { RegisterModel } from "@/features/deployments/register-model";
import { deploymentsQuery } from "@/lib/queries";

export function DeploymentsPage() {
  const { data, error, isPending, refetch } = useQuery(deploymentsQuery);
  const deployments = data?.data ?? [];
  const served = new Set(deployments.map(({ model }) => model));
  return (
    <Page
      title="Deployments"
      lead="Models that answer now, and the proof that each is the one that was trained."
    >
      {isPending && <Loading what="Loading the deployments" />}
      {error && <ErrorPanel error={error} retry={() => refetch()} />}
      {data && (
        <section aria-labelledby="served" className="flex flex-col gap-3">
          <h2 id="served" className="font-semibold">
            Served
          </h2>
          {deployments.length === 0 && (
            <Empty>Nothing is served. Deploy a model of the list below.</Empty>
          )}
          {deployments.map((deployment) => (
            <DeploymentCard
              key={deployment.id}
              deployment={deployment}
              isBaseDeployed={served.has(deployment.base_model)}
            />
          ))}
        </section>
      )}
      <Models deployments={deployments} />
      <Needs scope="admin" lacking="explained">
        <RegisterModel />
      </Needs>
    </Page>
  );
}
