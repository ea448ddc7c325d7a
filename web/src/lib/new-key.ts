/** An idempotency key: one for all attempts of one form. Plain HTTP has no `crypto.randomUUID`. */
export function newKey(): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
