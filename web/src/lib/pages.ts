/** Reads lists whose pages may end early, because a page has a limit in bytes. */

type Page<Item> = { data: Item[]; has_more: boolean; last_id: string | null };

/** All items of a list, or the first `limit`; `read` gets the page after an item's id. */
export async function readAll<Item>(
  read: (after?: string) => Promise<Page<Item>>,
  limit = Number.POSITIVE_INFINITY,
): Promise<{ data: Item[]; has_more: boolean }> {
  const data: Item[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await read(after);
    data.push(...page.data);
    if (!page.has_more || !page.last_id || data.length >= limit)
      return { data: data.slice(0, limit), has_more: page.has_more || data.length > limit };
    after = page.last_id;
  }
}
