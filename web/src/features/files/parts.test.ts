import { expect, test, vi } from "vitest";
import { type Requests, sendInParts } from "@/features/files/parts";
import { ApiError } from "@/lib/api";

const file = new File(["abcdefgh"], "pairs.jsonl");
const options = { partBytes: 3, pausesMs: [0, 0] };
const away = new ApiError(503, "Try again.");

function server(failures: ApiError[] = []) {
  const sent: string[] = [];
  const requests = {
    begin: vi.fn(async () => "upload-1"),
    send: vi.fn(async (_id, part, offset, _signal, onSent) => {
      const failure = failures.shift();
      if (failure) throw failure;
      sent.push(await part.text());
      onSent(1);
      return `part-${offset}`;
    }),
    complete: vi.fn(async () => null),
    cancel: vi.fn(async () => null),
  } satisfies Requests;
  return { sent, requests };
}

const never = new AbortController().signal;

test("sends each part once and completes them in order", async () => {
  const { sent, requests } = server();
  const shares: number[] = [];
  await sendInParts(file, never, (share) => shares.push(share), requests, options);
  expect(sent).toEqual(["abc", "def", "gh"]);
  expect(shares).toEqual([3 / 8, 6 / 8, 1]);
  const ids = ["part-0", "part-3", "part-6"];
  expect(requests.complete).toHaveBeenCalledExactlyOnceWith("upload-1", ids, never);
  expect(requests.cancel).not.toHaveBeenCalled();
});

test("sends a part again while the server is away, under the same offset", async () => {
  const { sent, requests } = server([away, away]);
  await sendInParts(file, never, () => null, requests, options);
  expect(sent).toEqual(["abc", "def", "gh"]);
  expect(requests.send.mock.calls.map((call) => call[2])).toEqual([0, 0, 0, 3, 6]);
});

test("gives up, and cancels, when a part is refused or the server stays away", async () => {
  for (const failures of [[new ApiError(413, "Too large.")], [away, away, away]]) {
    const { requests } = server(failures);
    const expected = failures[0]?.message ?? "";
    await expect(sendInParts(file, never, () => null, requests, options)).rejects.toThrow(expected);
    expect(requests.cancel).toHaveBeenCalledExactlyOnceWith("upload-1");
    expect(requests.complete).not.toHaveBeenCalled();
  }
});

test("a stopped upload is not tried again, and is cancelled", async () => {
  const stopping = new AbortController();
  const { requests } = server();
  requests.send.mockImplementation(async () => {
    stopping.abort();
    throw new ApiError(0, "The upload was stopped.");
  });
  const sending = sendInParts(file, stopping.signal, () => null, requests, options);
  await expect(sending).rejects.toThrow("The upload was stopped.");
  expect(requests.send).toHaveBeenCalledTimes(1);
  expect(requests.cancel).toHaveBeenCalledTimes(1);
});
