import { element, render } from "./markdown.js";

const FAILURES = {
  connection: "The connection was lost.",
  content: "The request was refused for what it says.",
  overload: "The model is busy.",
  throttle: "Too many requests at once.",
  timeout: "The answer took too long.",
};
const NOTES = {
  context_exceeded: "The conversation has become too long for the model.",
  length: "The answer reached its length limit.",
  sensitive: "The answer was taken back by the content check.",
};

/** One answer on the page: thinking apart from text, then what there is to say about its end. */
export class Answer {
  text = "";

  constructor() {
    this.summary = element("summary", "Thinking");
    this.thought = element("p");
    this.thinking = element("details", this.summary, this.thought);
    this.body = element("div");
    this.foot = element("footer");
    this.node = element("article", this.thinking, this.body, this.foot);
    this.body.className = "text";
    this.thinking.hidden = true;
    this.node.className = "answer busy";
    this.node.setAttribute("aria-label", "Answer");
    this.began = performance.now();
  }

  think(text) {
    if (this.thinking.hidden) this.startThinking();
    this.thought.append(text);
  }

  say(text) {
    if (!this.text) this.endThinking();
    this.text += text;
    // However fast the text comes, it is drawn once per frame.
    this.drawing ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.drawing = null;
    this.body.replaceChildren(...render(this.text));
  }

  startThinking() {
    this.thinking.hidden = false;
    this.thinking.open = true;
    this.thinking.className = "active";
  }

  endThinking() {
    this.thinking.open = false;
    const seconds = Math.max(1, Math.round((performance.now() - this.began) / 1000));
    this.summary.textContent = `Thought for ${seconds} s`;
    this.thinking.className = "";
  }

  finish({ outcome, tokens }) {
    if (outcome === "sensitive") this.text = "";
    this.end(NOTES[outcome] ?? `${tokens} tokens`);
  }

  stopped() {
    this.end("Stopped");
  }

  fail(failure, retry) {
    const text = FAILURES[failure.kind] ?? "Something went wrong on the way to the model.";
    const button = element("button", "Try again");
    button.type = "button";
    button.addEventListener("click", retry, { once: true });
    this.end(text, button);
    if (failure.requestId) this.foot.append(element("small", `Request ${failure.requestId}`));
    this.node.classList.add("failed");
    this.foot.setAttribute("role", "alert");
  }

  end(...notes) {
    if (!this.text) this.endThinking();
    this.draw();
    this.foot.replaceChildren(...notes);
    this.node.classList.remove("busy");
  }
}
