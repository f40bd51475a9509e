// Markdown on the page: only blocks that have changed are made anew, and none of it in one long frame.
import { useEffect, useRef } from 'react';
import DOMPurify from 'dompurify';
import hljs from 'highlight.js/lib/core';
import { Blocks } from './blocks.js';
import { languages } from './languages.js';

for (const [name, language] of Object.entries(languages)) hljs.registerLanguage(name, language);

const BUDGET = 8; // milliseconds of a frame
const MOST_COLOURED = 20_000;
const PIECE = 4_000; // of code; the browser lays each out by itself
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

class CodeView {
  #shown = '';
  #isColoured = false;

  constructor(language) {
    this.language = language;
    this.code = element('code');
    const copy = element('button', 'copy', 'Copy');
    copy.type = 'button';
    copy.ariaLabel = language ? `Copy ${language} code` : 'Copy code';
    copy.addEventListener('click', async () => {
      await navigator.clipboard.writeText(this.#shown);
      copy.textContent = 'Copied';
      setTimeout(() => { copy.textContent = 'Copy'; }, 1500);
    });
    const pre = element('pre', '', this.code);
    pre.tabIndex = 0; // long lines are scrolled by key, too
    this.root = element('figure', 'code', element('figcaption', '', element('span', '', language || 'text'), copy), pre);
  }

  show(source, isSettled) {
    if (!source.startsWith(this.#shown)) {
      this.#shown = '';
      this.code.replaceChildren();
    }
    let added = source.slice(this.#shown.length);
    if (added && this.#isColoured) {
      this.code.replaceChildren();
      [added, this.#isColoured] = [source, false];
    }
    this.#shown = source;
    while (added) {
      let last = this.code.lastElementChild;
      if (!last || last.textContent.length >= PIECE) {
        last = element('span', 'piece', '');
        this.code.append(last);
      }
      // Pieces end with a line, because each is a box of its own.
      const cut = added.length > PIECE ? added.indexOf('\n', PIECE) + 1 : 0;
      const [now, later] = cut ? [added.slice(0, cut), added.slice(cut)] : [added, ''];
      last.firstChild ? last.firstChild.appendData(now) : last.append(now);
      added = later;
    }
    if (isSettled && !this.#isColoured && source.length <= MOST_COLOURED && hljs.getLanguage(this.language)) {
      const { value } = hljs.highlight(source, { language: this.language, ignoreIllegals: true });
      this.code.replaceChildren(DOMPurify.sanitize(value, PURE));
      this.#isColoured = true;
    }
  }
}

/** Keeps the children of an element equal to the blocks of a text, a few milliseconds at a time. */
class BlockRenderer {
  #blocks = new Blocks();
  #shown = []; // { block, isSettled, root, view }
  #wanted = [];
  #isStreaming = false;
  #frame = 0;

  constructor(root) {
    this.root = root;
  }

  update(text, isStreaming) {
    this.#wanted = this.#blocks.update(text);
    this.#isStreaming = isStreaming;
    this.root.ariaBusy = 'true';
    this.#work();
  }

  close() {
    cancelAnimationFrame(this.#frame);
  }

  #work = () => {
    cancelAnimationFrame(this.#frame);
    const end = performance.now() + BUDGET;
    while (this.#shown.length > this.#wanted.length) this.#shown.pop().root.remove();
    for (const [index, block] of this.#wanted.entries()) {
      const isSettled = index < this.#wanted.length - 1 || !this.#isStreaming;
      const old = this.#shown[index];
      if (old && old.isSettled === isSettled && (old.block === block || (old.block.source === block.source && old.block.kind === block.kind))) continue;
      this.#show(index, block, isSettled);
      if (performance.now() > end) {
        this.#frame = requestAnimationFrame(this.#work);
        return;
      }
    }
    this.root.ariaBusy = 'false';
  };

  #show(index, block, isSettled) {
    const old = this.#shown[index];
    let { root, view } = old ?? {};
    if (block.kind === 'code') {
      if (!(view instanceof CodeView) || view.language !== block.language) {
        view = new CodeView(block.language);
        root = this.#put(index, view.root);
      }
      view.show(block.source, isSettled);
    } else {
      if (!root || view) root = this.#put(index, element('div', 'block'));
      view = null;
      if (block.kind === 'plain') root.replaceChildren(element('p', 'plain', block.source));
      else root.replaceChildren(DOMPurify.sanitize(block.html(), PURE));
    }
    root.classList.toggle('settled', isSettled);
    this.#shown[index] = { block, isSettled, root, view };
  }

  #put(index, root) {
    const old = this.#shown[index]?.root;
    old ? old.replaceWith(root) : this.root.append(root);
    return root;
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
