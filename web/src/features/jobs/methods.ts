/** The methods and their settings, as the API groups and describes them. */
import { queryOptions } from "@tanstack/react-query";
import { client, type Schema, take } from "@/lib/api";

export type Setting = Schema<"SettingObject">;
export type Method = Schema<"MethodObject">;

export const methodsQuery = queryOptions({
  queryKey: ["jobs", "methods"],
  queryFn: async () => (await take(client.GET("/v1/fine_tuning/methods"))).data,
  staleTime: Number.POSITIVE_INFINITY,
});

export const settingsOf = (method: Pick<Method, "groups"> | undefined): Setting[] =>
  method?.groups.flatMap((group) => group.settings) ?? [];

/** A setting's value as it is typed and compared; a list becomes one line. */
export const typed = (value: unknown) => (Array.isArray(value) ? value.join(", ") : value) ?? null;

/** Whether a job's value differs from the default. */
export const differs = (setting: Pick<Setting, "default">, value: unknown) =>
  typed(value) !== typed(setting.default);

/** The default as text; for null the server chooses, as the description says. */
export function initialText(setting: Pick<Setting, "default" | "kind">): string {
  const initial = typed(setting.default);
  if (setting.kind === "text") return String(initial ?? "");
  if (initial === null) return "automatic";
  if (setting.kind === "words" && initial === "") return "none";
  if (setting.kind === "flag") return initial ? "on" : "off";
  return String(initial);
}
