import { createParser } from "eventsource-parser";

import { baseURL, question, serve } from "./serve.mjs";

const headers = { Authorization: "Bearer benchmark.key", "Content-Type": "application/json" };

async function post(question) {
  const body = JSON.stringify(question);
  const response = await fetch(`${baseURL}/chat/completions`, { method: "POST", headers, body });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response;
}

serve({
  async stream(seen) {
    const onEvent = ({ data }) => {
      if (data !== "[DONE]" && JSON.parse(data)) seen();
    };
    const [parser, decoder] = [createParser({ onEvent }), new TextDecoder()];
    const response = await post({ ...question, stream: true });
    for await (const bytes of response.body) parser.feed(decoder.decode(bytes, { stream: true }));
  },
  async ask() {
    const answer = await (await post(question)).json();
    return answer.choices[0].message.content;
  },
});
