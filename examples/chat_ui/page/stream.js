/**
 * Ask the server and yield its events: `thinking`, `text`, and `finished` as the last one.
 * Throws a `Failure` when the answer does not come to its end, and an AbortError after `signal`.
 */
export async function* ask(messages, signal) {
  const response = await post({ messages }, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for await (const event of events(reader)) {
    if (event.type === "error") throw new Failure(event);
    yield event;
    if (event.type === "finished") return;
  }
  throw new Failure({ kind: "connection" });
}

export class Failure extends Error {
  constructor({ kind, request_id = null }) {
    super(kind);
    this.kind = kind;
    this.requestId = request_id;
  }
}

async function post(body, signal) {
  const headers = { "Content-Type": "application/json" };
  const request = { method: "POST", headers, body: JSON.stringify(body), signal };
  const response = await fetch("/chat", request).catch(unlessAborted);
  if (response.ok) return response;
  throw new Failure(await response.json().catch(() => ({ kind: "server" })));
}

async function* events(reader) {
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read().catch(unlessAborted);
    if (done) return;
    const frames = (rest + value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) yield JSON.parse(frame.slice("data: ".length));
  }
}

function unlessAborted(error) {
  if (error.name === "AbortError") throw error;
  throw new Failure({ kind: "connection" });
}
