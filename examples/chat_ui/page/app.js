import { Answer } from "./answer.js";
import { element } from "./markdown.js";
import { ask, Failure } from "./stream.js";

const [log, welcome, composer, question, send, stop, reset] = [
  "log", "welcome", "composer", "question", "send", "stop", "reset",
].map((id) => document.getElementById(id));

let conversation = [];
let running = null;

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(question.value);
});
question.addEventListener("keydown", (event) => {
  // While a word is being composed, Enter belongs to the input method.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit(question.value);
});
document.addEventListener("keydown", (event) => event.key === "Escape" && running?.abort());
stop.addEventListener("click", () => running?.abort());
reset.addEventListener("click", startOver);
for (const suggestion of document.querySelectorAll(".suggestion")) {
  suggestion.addEventListener("click", () => submit(suggestion.textContent));
}

function submit(text) {
  if (running || !text.trim()) return;
  question.value = "";
  welcome.hidden = true;
  conversation.push({ role: "user", content: text.trim() });
  const bubble = element("p", text.trim());
  bubble.className = "question";
  log.append(bubble);
  reply();
}

async function reply() {
  const answer = new Answer();
  const turns = conversation; // "New chat" replaces it while this answer is still ending
  log.append(answer.node);
  answer.node.scrollIntoView({ block: "end" });
  running = new AbortController();
  showState();
  try {
    for await (const event of ask(turns, running.signal)) {
      keepEndInView(() => show(event, answer, turns));
    }
  } catch (error) {
    keepEndInView(() => giveUp(error, answer, turns));
  } finally {
    running = null;
    showState();
  }
  question.focus({ preventScroll: true });
}

function show(event, answer, turns) {
  if (event.type === "thinking") answer.think(event.text);
  if (event.type === "text") answer.say(event.text);
  if (event.type === "finished") {
    answer.finish(event);
    if (event.outcome !== "sensitive") turns.push(event.message);
  }
}

/** Scroll along with what is written, unless the reader has scrolled up. */
function keepEndInView(change) {
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  change();
  if (follows) requestAnimationFrame(() => log.scrollTo({ top: log.scrollHeight }));
}

function giveUp(error, answer, turns) {
  if (error instanceof Failure) {
    answer.fail(error, () => {
      answer.node.remove();
      reply();
    });
  } else if (error.name === "AbortError") {
    answer.stopped();
    if (answer.text) turns.push({ role: "assistant", content: answer.text });
  } else {
    throw error;
  }
}

function startOver() {
  running?.abort();
  conversation = [];
  log.replaceChildren(welcome);
  welcome.hidden = false;
  showState();
  question.focus();
}

function showState() {
  send.hidden = running !== null;
  stop.hidden = running === null;
  reset.hidden = !conversation.length;
  log.setAttribute("aria-busy", String(running !== null));
}
