import OpenAI from "openai";

import { baseURL, question, serve } from "./serve.mjs";

const client = new OpenAI({ apiKey: "benchmark.key", baseURL, maxRetries: 0 });

serve({
  async stream(seen) {
    const chunks = await client.chat.completions.create({ ...question, stream: true });
    for await (const _ of chunks) seen();
  },
  async ask() {
    const answer = await client.chat.completions.create(question);
    return answer.choices[0].message.content;
  },
});
