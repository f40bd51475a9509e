// Markdown on the page: only blocks that have changed are made anew, and none of it in one long frame.
import { useEffect, useRef } from 'react';
import DOMPurify from 'dompurify';
import hljs from 'highlight.js/lib/core';
import { Blocks } from './blocks.js';
import { languages } from './languages.js';

for (const [name, language] of Object.entries(languages)) hljs.registerLanguage(name, language);

const BUDGET = 4; // milliseconds of a frame
const SLICE = 1_024; // characters of a text that are taken in a frame
const SECTION = 2_048; // characters, of blocks that the browser lays out and paints only where they are seen
const MOST_COLOURED = 10_000;
const PIECE = 4_000; // characters that the browser lays out by themselves
const PURE = {
  RETURN_DOM_FRAGMENT: true,
  ALLOWED_TAGS: ('a b blockquote br code del div em h1 h2 h3 h4 h5 h6 hr i li ol p pre s span strong sub sup table tbody ' +
    'td th thead tr ul').split(' '),
  ALLOWED_ATTR: ['href', 'target', 'rel', 'start', 'class', 'title', 'colspan', 'rowspan'],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|#)/i,
  ADD_URI_SAFE_ATTR: ['target', 'rel', 'start', 'colspan', 'rowspan'],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};

const element = (tag, className, ...children) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
};

/** A text without structure that grows: only its last piece is laid out anew. */
class PiecesView {
  #shown = '';

  constructor(root, mark) {
    this.root = root;
    this.mark = mark; // behind which a piece may end
  }

  get text() {
    return this.#shown;
  }

  show(source) {
    if (!source.startsWith(this.#shown)) {
      this.#shown = '';
      this.root.replaceChildren();
    }
    let added = source.slice(this.#shown.length);
    this.#shown = source;
    while (added) {
      let last = this.root.lastElementChild;
      if (!last || last.textContent.length >= PIECE) {
        last = element('span', 'piece', '');
        this.root.append(last);
      }
      const cut = added.length > PIECE ? added.indexOf(this.mark, PIECE) + 1 : 0;
      const [now, later] = cut ? [added.slice(0, cut), added.slice(cut)] : [added, ''];
      last.firstChild ? last.firstChild.appendData(now) : last.append(now);
      added = later;
    }
  }
}

class PlainView {
  kind = 'plain';
  #pieces;

  constructor() {
    this.root = element('div', 'block plain');
    this.#pieces = new PiecesView(this.root, ' ');
  }

  show({ source }) {
    this.#pieces.show(source);
  }
}

class CodeView {
  kind = 'code';
  #pieces;
  #isColoured = false;

  constructor({ language }) {
    this.language = language;
    const code = element('code');
    this.#pieces = new PiecesView(code, '\n');
    const copy = element('button', 'copy', 'Copy');
    copy.type = 'button';
    copy.ariaLabel = language ? `Copy ${language} code` : 'Copy code';
    copy.addEventListener('click', async () => {
      await navigator.clipboard.writeText(this.#pieces.text);
      copy.textContent = 'Copied';
      setTimeout(() => { copy.textContent = 'Copy'; }, 1500);
    });
    const pre = element('pre', '', code);
    pre.tabIndex = 0; // long lines are scrolled by key, too
    this.root = element('figure', 'code', element('figcaption', '', element('span', '', language || 'text'), copy), pre);
  }

  show({ source }, isSettled) {
    if (this.#isColoured && source !== this.#pieces.text) {
      this.#isColoured = false;
      this.#pieces.show('');
    }
    this.#pieces.show(source);
    if (isSettled && !this.#isColoured && source.length <= MOST_COLOURED && hljs.getLanguage(this.language)) {
      const { value } = hljs.highlight(source, { language: this.language, ignoreIllegals: true });
      this.#pieces.root.replaceChildren(DOMPurify.sanitize(value, PURE));
      this.#isColoured = true;
    }
  }
}

class HtmlView {
  kind = 'html';
  root = element('div', 'block');

  show(block) {
    this.root.replaceChildren(DOMPurify.sanitize(block.html(), PURE));
  }
}

const VIEWS = { plain: PlainView, code: CodeView, html: HtmlView };

/** Keeps the children of an element equal to the blocks of a text, a little in each frame. */
class BlockRenderer {
  #blocks = new Blocks();
  #text = '';
  #taken = 0; // so much of it is in the blocks
  #wanted = [];
  #shown = []; // { block, isSettled, view }
  #clean = 0; // so many of them need not be looked at again
  #isStreaming = false;
  #frame = 0;

  constructor(root) {
    this.root = root;
  }

  update(text, isStreaming) {
    if (!text.startsWith(this.#text)) [this.#taken, this.#clean] = [0, 0];
    this.#text = text;
    this.#isStreaming = isStreaming;
    this.root.ariaBusy = 'true';
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(this.#work);
  }

  close() {
    cancelAnimationFrame(this.#frame);
  }

  #work = () => {
    const end = performance.now() + BUDGET;
    do {
      this.#taken = Math.min(this.#text.length, this.#taken + SLICE);
      this.#wanted = this.#blocks.update(this.#text.slice(0, this.#taken));
      if (!this.#show(end)) break;
    } while (this.#taken < this.#text.length && performance.now() < end);
    const isDone = this.#taken === this.#text.length && this.#clean >= this.#wanted.length - 1 && this.#show(end);
    this.root.ariaBusy = String(!isDone);
    if (!isDone) this.#frame = requestAnimationFrame(this.#work);
  };

  /** Show blocks until the time is over; tell whether all of them are shown. */
  #show(end) {
    while (this.#shown.length > this.#wanted.length) this.#shown.pop().view.root.remove();
    const isWhole = this.#taken === this.#text.length && !this.#isStreaming;
    for (let index = this.#clean; index < this.#wanted.length; index += 1) {
      const block = this.#wanted[index];
      const isLast = index === this.#wanted.length - 1;
      const isSettled = !isLast || isWhole;
      const old = this.#shown[index];
      const isSame = old && old.isSettled === isSettled && old.block.kind === block.kind && old.block.source === block.source;
      if (!isSame) this.#put(index, block, isSettled);
      if (!isLast) this.#clean = index + 1;
      if (!isLast && performance.now() > end) return false;
    }
    return true;
  }

  /** Append a block to the last section, or to a new one if that has enough. */
  #append(root) {
    let last = this.root.lastElementChild;
    if (!last || last.textContent.length >= SECTION) {
      last?.classList.add('full');
      last = element('div', 'section');
      this.root.append(last);
    }
    last.append(root);
  }

  #put(index, block, isSettled) {
    const old = this.#shown[index];
    let view = old?.view;
    if (view?.kind !== block.kind || view.language !== block.language) {
      view = new VIEWS[block.kind](block);
      old ? old.view.root.replaceWith(view.root) : this.#append(view.root);
    }
    view.show(block, isSettled);
    this.#shown[index] = { block, isSettled, view };
  }
}

export function Markdown({ text, isStreaming }) {
  const root = useRef(null);
  const renderer = useRef(null);
  useEffect(() => {
    renderer.current = new BlockRenderer(root.current);
    return () => {
      renderer.current.close();
      root.current?.replaceChildren();
    };
  }, []);
  useEffect(() => renderer.current.update(text, isStreaming), [text, isStreaming]);
  return <div className="markdown" ref={root} />;
}
