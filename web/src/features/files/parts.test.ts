import { beforeEach, expect, test, vi } from "vitest";
import { PAUSE, type Requests, sendInParts } from "@/features/files/parts";
import { recall, stopped } from "@/features/files/upload-memory";
import { ApiError } from "@/lib/api";

const file = new File(["abcdefgh"], "pairs.jsonl", { lastModified: 7 });
const begun = { id: "upload-1", expires_at: Date.now() / 1000 + 3600 };
const options = { partBytes: 3, pausesMs: [0, 0] };
const away = new ApiError(503, "Try again.");

beforeEach(() => localStorage.clear());

function server(failures: ApiError[] = []) {
  const sent: string[] = [];
  const arrived = new Set<string>();
  const requests = {
    begin: vi.fn(async () => begun),
    look: vi.fn<Requests["look"]>(async () => ({ status: "pending", partIds: arrived })),
    send: vi.fn<Requests["send"]>(async (_id, part, offset, _signal, onSent) => {
      const failure = failures.shift();
      if (failure) throw failure;
      sent.push(await part.text());
      onSent(1);
      arrived.add(`part-${offset}`);
      return `part-${offset}`;
    }),
    complete: vi.fn(async () => null),
    cancel: vi.fn(async () => null),
  } satisfies Requests;
  return { sent, arrived, requests };
}

const never = new AbortController().signal;

test("sends each part once and completes them in order", async () => {
  const { sent, requests } = server();
  const shares: number[] = [];
  await sendInParts(
    file,
    null,
    never,
    (share) => shares.push(share),
    () => null,
    requests,
    options,
  );
  expect(sent).toEqual(["abc", "def", "gh"]);
  expect(shares).toEqual([3 / 8, 6 / 8, 1]);
  const ids = ["part-0", "part-3", "part-6"];
  expect(requests.complete).toHaveBeenCalledExactlyOnceWith("upload-1", ids, never);
  expect(requests.cancel).not.toHaveBeenCalled();
});

test("sends a part again while the server is away, under the same offset", async () => {
  const { sent, requests } = server([away, away]);
  const onLost = vi.fn();
  await sendInParts(file, null, never, () => null, onLost, requests, options);
  expect(sent).toEqual(["abc", "def", "gh"]);
  expect(requests.send.mock.calls.map((call) => call[2])).toEqual([0, 0, 0, 3, 6]);
  expect(onLost).toHaveBeenCalledTimes(2);
});

test("gives up, and cancels, when a part is refused", async () => {
  const { requests } = server([new ApiError(413, "Too large.")]);
  const sending = sendInParts(
    file,
    null,
    never,
    () => null,
    () => null,
    requests,
    options,
  );
  await expect(sending).rejects.toThrow("Too large.");
  expect(requests.cancel).toHaveBeenCalledExactlyOnceWith("upload-1");
  expect(requests.complete).not.toHaveBeenCalled();
  expect(recall(file, null)).toBeNull();
});

test("goes on with what is missing once the server is back", async () => {
  const { sent, requests } = server();
  requests.send.mockImplementationOnce(requests.send.getMockImplementation() as Requests["send"]);
  requests.send.mockRejectedValueOnce(away).mockRejectedValueOnce(away).mockRejectedValueOnce(away);
  const sending = sendInParts(
    file,
    null,
    never,
    () => null,
    () => null,
    requests,
    options,
  );
  await expect(sending).rejects.toThrow("Try again.");
  expect(requests.cancel).not.toHaveBeenCalled();

  const shares: number[] = [];
  await sendInParts(
    file,
    null,
    never,
    (share) => shares.push(share),
    () => null,
    requests,
    options,
  );
  expect(requests.begin).toHaveBeenCalledTimes(1);
  expect(sent).toEqual(["abc", "def", "gh"]);
  expect(shares[0]).toBe(3 / 8);
  const ids = ["part-0", "part-3", "part-6"];
  expect(requests.complete).toHaveBeenCalledExactlyOnceWith("upload-1", ids, never);
  expect(recall(file, null)).toBeNull();
});

async function paused(requests: Requests) {
  const stopping = new AbortController();
  const onSent = (share: number) => {
    if (share > 0.5) stopping.abort(PAUSE);
  };
  const sending = sendInParts(file, null, stopping.signal, onSent, () => null, requests, options);
  await expect(sending).rejects.toThrow("The upload was stopped.");
}

test("a paused upload stays on the server, and is not one that another tab left", async () => {
  const { requests } = server();
  await paused(requests);
  expect(requests.cancel).not.toHaveBeenCalled();
  expect(recall(file, null)?.partIds).toEqual(["part-0", "part-3"]);
  expect(stopped(Date.now() + 60_000)).toEqual([]);
});

test("another file, or other columns, begin an upload of their own", async () => {
  const changed = new File(["abcdefgh"], "pairs.jsonl", { lastModified: 8 });
  for (const [other, columns] of [
    [changed, null],
    [file, { prompt: "q" }],
  ] as const) {
    const { requests } = server();
    await paused(requests);
    await sendInParts(
      other,
      columns,
      never,
      () => null,
      () => null,
      requests,
      options,
    );
    expect(requests.look).not.toHaveBeenCalled();
    expect(requests.begin).toHaveBeenCalledTimes(2);
    localStorage.clear();
  }
});

test("parts that the server lost are sent again; an upload that it forgot starts again", async () => {
  const { sent, arrived, requests } = server();
  await paused(requests);
  arrived.delete("part-0");
  await sendInParts(
    file,
    null,
    never,
    () => null,
    () => null,
    requests,
    options,
  );
  expect(sent).toEqual(["abc", "def", "abc", "def", "gh"]);

  const other = server();
  await paused(other.requests);
  other.requests.look.mockRejectedValueOnce(new ApiError(404, "Not found."));
  await sendInParts(
    file,
    null,
    never,
    () => null,
    () => null,
    other.requests,
    options,
  );
  expect(other.requests.begin).toHaveBeenCalledTimes(2);
});

test("an upload whose last answer was lost is complete", async () => {
  const { requests } = server();
  await paused(requests);
  requests.look.mockResolvedValueOnce({ status: "completed", partIds: new Set() });
  await sendInParts(
    file,
    null,
    never,
    () => null,
    () => null,
    requests,
    options,
  );
  expect(requests.send).toHaveBeenCalledTimes(2);
  expect(requests.complete).not.toHaveBeenCalled();
});

test("a stopped upload is not tried again, and is cancelled", async () => {
  const stopping = new AbortController();
  const { requests } = server();
  requests.send.mockImplementation(async () => {
    stopping.abort();
    throw new ApiError(0, "The upload was stopped.");
  });
  const sending = sendInParts(
    file,
    null,
    stopping.signal,
    () => null,
    () => null,
    requests,
    options,
  );
  await expect(sending).rejects.toThrow("The upload was stopped.");
  expect(requests.send).toHaveBeenCalledTimes(1);
  expect(requests.cancel).toHaveBeenCalledTimes(1);
});
