// What a page of the AI SDK makes of streams and of conversations: its own reader, without a browser.
//
// node page.mjs ai6|ai7 < cases.json > results.json
//
// A case is {"body", "cut"?, "status"?, "breaks"?, "before"?, "how"?}: the bytes of an answer, how many of
// them a read brings, whether the connection breaks at the end, the messages that the page has, and whether
// it sends ("submit"), resumes ("resume") or goes on after a tool ("continue"). The result is what the page
// holds afterwards. A case {"convert": [UIMessage]} gives the messages that its server would send on.

import { readFileSync } from "node:fs";

const { AbstractChat, DefaultChatTransport, convertToModelMessages } = await import(process.argv[2]);

class Page extends AbstractChat {
  static make(before, body, log) {
    const state = {
      status: "ready",
      error: undefined,
      messages: before,
      pushMessage: (message) => void state.messages.push(structuredClone(message)),
      popMessage: () => void state.messages.pop(),
      replaceMessage: (place, message) => void state.messages.splice(place, 1, structuredClone(message)),
      snapshot: structuredClone,
    };
    let made = 0;
    const page = new Page({
      id: "chat-1",
      state,
      generateId: () => `page-${++made}`,
      transport: new DefaultChatTransport({ fetch: async () => body() }),
      onData: (part) => log.push(["data", part.type, part.data]),
      onToolCall: ({ toolCall }) => void log.push(["tool", toolCall.toolName, toolCall.input]),
      onFinish: (end) => log.push(["finish", end.finishReason ?? null, end.isAbort, end.isError]),
      onError: () => log.push(["error"]),
    });
    return { page, state };
  }
}

function response({ body, cut = 11, status = 200, breaks = false }) {
  if (status !== 200) return new Response(status === 204 ? null : body, { status });
  const bytes = new TextEncoder().encode(body);
  let at = 0;
  const pull = (controller) => {
    if (at < bytes.length) controller.enqueue(bytes.slice(at, (at += cut)));
    else if (breaks) controller.error(new TypeError("network error"));
    else controller.close();
  };
  return new Response(new ReadableStream({ pull }), { status });
}

async function play(each) {
  if (each.convert) return await convertToModelMessages(each.convert);
  const log = [];
  const { page, state } = Page.make(each.before ?? [], () => response(each), log);
  if (each.how === "resume") await page.resumeStream();
  else await page.sendMessage(each.how === "continue" ? undefined : { text: "Hi" });
  return {
    status: state.status,
    error: state.error?.message ?? null,
    count: state.messages.length,
    message: state.messages.at(-1),
    log,
  };
}

const results = [];
for (const each of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    results.push(await play(each));
  } catch (error) {
    results.push({ thrown: String(error) });
  }
}
process.stdout.write(JSON.stringify(results));
