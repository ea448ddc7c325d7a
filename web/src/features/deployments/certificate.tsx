import { TriangleAlert } from "lucide-react";
import { InfoMark } from "@/components/info-mark";
import { TokenDifference } from "@/features/deployments/token-difference";
import type { Schema } from "@/lib/api";
import { number } from "@/lib/format";

type Parity = Schema<"Parity">;

/** The result of the parity check, in words: whether the engine serves the trained weights. */
export function Certificate({ parity }: { parity: Parity }) {
  return (
    <div className="flex flex-col gap-1">
      <ul className="flex flex-col gap-1">
        <li>
          {parity.token_ids_equal
            ? "The engine and the trainer read the same token ids."
            : "The engine and the trainer read different token ids."}
        </li>
        {parity.thinking_ids_equal !== null && (
          <li>With thinking on and off, they read {ids(parity.thinking_ids_equal)}.</li>
        )}
        {parity.tools_ids_equal !== null && (
          <li>In prompts with tools, they read {ids(parity.tools_ids_equal)}.</li>
        )}
        {parity.renders?.tools && (
          <li>
            {parity.renders.tool_parser
              ? "Calls of tools are read out of its answers."
              : "Calls of tools stay in the text of its answers."}
          </li>
        )}
        <li>
          Largest log-prob difference of a token: {nats(parity.max_logprob_diff)}; on average{" "}
          {nats(parity.mean_logprob_diff)}.
        </li>
        <li className="flex flex-wrap items-center gap-x-1">
          Hash of the weights
          <InfoMark about="the weights" facts={[["SHA-256", parity.weights_sha256]]} />
        </li>
      </ul>
      {parity.difference && <TokenDifference difference={parity.difference} />}
      {parity.equal_to_base && (
        <p className="flex items-start gap-2 font-medium">
          <TriangleAlert aria-hidden="true" size={16} className="mt-0.5 shrink-0 text-rejected" />
          It answers exactly as its base does: training made no measurable difference.
        </p>
      )}
    </div>
  );
}

const ids = (areEqual: boolean | undefined) =>
  areEqual ? "the same token ids" : "different token ids";

/** Differences are often far below 0.01, so rounding to two digits would hide them. */
function nats(value: number): string {
  if (value === 0) return "none";
  return value < 0.0001 ? "under 0.0001 nats" : `${number(value, 4)} nats`;
}
