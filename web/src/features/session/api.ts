import { client, take } from "@/lib/api";

/** By an API key's text, or by the token of a link that works once. */
export type Credential = { api_key: string } | { token: string };

export const signIn = (credential: Credential) =>
  take(client.POST("/v1/session", { body: credential }));

export const signOut = () => take(client.DELETE("/v1/session"));
