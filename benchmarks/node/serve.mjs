// The other end of process.py: commands arrive as lines, and what was seen is told once a turn of
// the loop, so that telling costs next to nothing for each event.
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";

const [, , url, asked] = process.argv;
export const baseURL = url;
export const question = JSON.parse(asked);

const news = { streams: [], done: [], due: false };

function tell() {
  const seen = news.streams.map((stream) => `seen ${stream.number} ${stream.events}\n`);
  const done = news.done.map((number) => `done ${number}\n`);
  for (const stream of news.streams) stream.events = 0;
  Object.assign(news, { streams: [], done: [], due: false });
  writeSync(1, seen.join("") + done.join(""));
}

function tellSoon() {
  if (!news.due) setImmediate(tell);
  news.due = true;
}

function counter(number) {
  const stream = { number, events: 0 };
  return () => {
    if (!stream.events++) news.streams.push(stream);
    tellSoon();
  };
}

async function askMany(ask, calls, inFlight) {
  const one = async () => {
    while (calls-- > 0) if (typeof (await ask()) !== "string") throw new Error("no text");
  };
  await Promise.all(Array.from({ length: inFlight }, one));
}

// Takes what reads one stream, calling what it is given for each event, and what makes one call
// and returns the text. What they throw ends the process.
export function serve({ stream, ask }) {
  const commands = {
    stream: (number) => stream(counter(number)),
    ask: (_, calls, inFlight) => askMany(ask, calls, inFlight),
  };
  const obey = async (line) => {
    const [command, ...figures] = line.split(" ");
    await commands[command](...figures.map(Number));
    news.done.push(figures[0]);
    tellSoon();
  };
  createInterface({ input: process.stdin }).on("line", obey).on("close", () => process.exit());
  writeSync(1, "ready\n");
}
