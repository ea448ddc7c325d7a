import { client, take } from "@/lib/api";

/** Sign in with an API key, or with the token of a one-time link. */
export type Credential = { api_key: string } | { token: string };

export const signIn = (credential: Credential) =>
  take(client.POST("/v1/session", { body: credential }));

export const signOut = () => take(client.DELETE("/v1/session"));
