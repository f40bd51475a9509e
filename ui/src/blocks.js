// A text that grows, as blocks: those that are settled are parsed once, whatever follows them.
import MarkdownIt from 'markdown-it';
import { math } from './math.js';

// What a block may hold before it is shown as it was written: parsing and layout of more take
// longer than a frame.
const MOST = 16_384;
// From here on the finished items of a list and rows of a table are settled, while the last one grows.
const LONG = 2_048;

export const md = MarkdownIt({ html: false, linkify: true, maxNesting: 40 }).use(math);
// "main.py" is no address in Paraguay.
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
md.validateLink = (url) => /^(https?:|mailto:|#)/i.test(url.trim());

const rules = md.renderer.rules;
rules.link_open = (tokens, index, options, env, self) => {
  tokens[index].attrSet('target', '_blank');
  tokens[index].attrSet('rel', 'noopener noreferrer nofollow');
  return self.renderToken(tokens, index, options);
};
// The policy allows no inline styles, by which markdown-it aligns columns.
rules.th_open = rules.td_open = (tokens, index, options, env, self) => {
  const token = tokens[index];
  const side = /text-align:(\w+)/.exec(token.attrGet('style') ?? '')?.[1];
  token.attrs = side ? [['class', side]] : null;
  return self.renderToken(tokens, index, options);
};
// A picture that is fetched tells its server whatever its address holds, so it is a link.
rules.image = (tokens, index) => {
  const token = tokens[index];
  const [url, words] = [token.attrGet('src'), token.content || token.attrGet('src')].map(md.utils.escapeHtml);
  return `<a href="${url}" target="_blank" rel="noopener noreferrer nofollow">[${words}]</a>`;
};

export class Blocks {
  #text = '';
  #from = 0; // where the last block begins, which may still change
  #head = ''; // of the table that goes on there
  #settled = [];
  #env = {};

  /** Take the text as it is now, and return its blocks; those of before are the same objects. */
  update(text) {
    if (!text.startsWith(this.#text)) {
      [this.#from, this.#head, this.#settled, this.#env] = [0, '', [], {}];
    }
    this.#text = text;
    const tail = this.#head + text.slice(this.#from);
    const end = tail.indexOf('\n\n', MOST);
    if (tail.length > MOST && !/^ {0,3}(```|~~~)/.test(tail)) {
      const plain = { kind: 'plain', source: end < 0 ? tail : tail.slice(0, end + 2) };
      if (end < 0) return [...this.#settled, plain];
      this.#settle(plain, end + 2);
      return this.update(text);
    }
    const groups = grouped(md.parse(tail, this.#env));
    if (groups.length === 0) return [...this.#settled];
    const starts = startsOf(tail);
    const blockOf = (group, isLast) =>
      this.#block(group.tokens, tail.slice(starts[group.first], starts[group.last]), isLast);
    for (const [index, group] of groups.slice(0, -1).entries()) {
      // What a table goes on with is not its head again.
      if (index === 0 && this.#head) group.tokens = withoutHead(group.tokens);
      this.#settled.push(blockOf(group, false));
    }
    const last = groups.at(-1);
    const goesOn = groups.length === 1 && this.#head !== '';
    if (!goesOn) this.#advance(starts[last.first], '');
    const done = tail.length - starts[last.first] > LONG ? withoutLast(last) : null;
    if (done) {
      const head = done.isTable ? tail.slice(starts[last.first], starts[last.first + 2]) : '';
      if (goesOn) done.tokens = withoutHead(done.tokens);
      this.#settled.push(this.#block(done.tokens, tail.slice(starts[done.first], starts[done.last])));
      this.#advance(starts[done.last] - (goesOn ? 0 : starts[last.first]), head);
      last.tokens = done.rest;
      last.first = done.last;
    } else if (goesOn) {
      last.tokens = withoutHead(last.tokens);
    }
    return [...this.#settled, blockOf(last, true)];
  }

  #settle(block, length) {
    this.#settled.push(block);
    this.#advance(length, '');
  }

  /** Go on behind so much of what was parsed, which began with the head of a table. */
  #advance(length, head) {
    this.#from += length - this.#head.length;
    this.#head = head;
  }

  #block(tokens, source, isLast = false) {
    const [token] = tokens;
    if (token.type === 'fence' || token.type === 'code_block') {
      let code = token.content.replace(/\n$/, '');
      // One or two backticks in a line of their own are going to be the end of the block.
      if (isLast) code = code.replace(/(^|\n)`{1,2}$/, '');
      return { kind: 'code', language: token.info?.trim().split(/\s/)[0] ?? '', source: code };
    }
    return { kind: 'html', source, html: () => md.renderer.render(tokens, md.options, this.#env) };
  }
}

/** Return the blocks that stand side by side, with their lines. */
function grouped(tokens) {
  const groups = [];
  let begun = null;
  for (const token of tokens) {
    begun ??= { tokens: [], first: token.map?.[0] ?? 0, last: token.map?.[1] ?? 0 };
    begun.tokens.push(token);
    if (token.level === 0 && token.nesting <= 0) {
      groups.push(begun);
      begun = null;
    }
  }
  return groups;
}

function startsOf(text) {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  if (starts.at(-1) !== text.length) starts.push(text.length);
  return starts;
}

/** Return the finished items of a list or rows of a table, null if there are none; and the rest. */
function withoutLast({ tokens, first }) {
  const isTable = tokens[0].type === 'table_open';
  if (!isTable && !/_list_open$/.test(tokens[0].type)) return null;
  const body = tokens.findIndex((token) => token.type === 'tbody_open');
  const opens = (token, index) => (isTable ? token.type === 'tr_open' && index > body && body > 0 : token.level === 1 && token.type === 'list_item_open');
  const items = tokens.flatMap((token, index) => (opens(token, index) ? [index] : []));
  if (items.length < 2) return null;
  const place = items.at(-1);
  const ends = isTable ? tokens.slice(-2) : tokens.slice(-1);
  const rest = isTable
    ? [tokens[0], tokens[body], ...tokens.slice(place)]
    : [opening(tokens[0], tokens[place]), ...tokens.slice(place)];
  return { isTable, first, last: tokens[place].map[0], tokens: [...tokens.slice(0, place), ...ends], rest };
}

/** Return a table without its head, which stands in the block before. */
function withoutHead(tokens) {
  const body = tokens.findIndex((token) => token.type === 'tbody_open');
  return body < 0 ? tokens : [tokens[0], ...tokens.slice(body)];
}

/** Return how the list goes on that begins with an item. */
function opening(token, item) {
  const again = Object.assign(Object.create(Object.getPrototypeOf(token)), token);
  if (token.type === 'ordered_list_open' && item.info) again.attrs = [['start', item.info]];
  return again;
}
