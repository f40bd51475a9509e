// A text that grows, as blocks: those that are settled are parsed once, whatever follows them.
import MarkdownIt from 'markdown-it';
import { math } from './math.js';

// What a block may hold before it is shown as it was written: parsing and layout of more take
// longer than a frame.
const MOST = 32_768;
// From here on the finished items of a list are settled, while its last one grows.
const LONG_LIST = 4_096;

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
  #settled = [];
  #env = {};

  /** Take the text as it is now, and return its blocks; those of before are the same objects. */
  update(text) {
    if (!text.startsWith(this.#text)) {
      [this.#from, this.#settled, this.#env] = [0, [], {}];
    }
    this.#text = text;
    const tail = text.slice(this.#from);
    const groups = grouped(md.parse(tail, this.#env));
    const lineStarts = startsOf(tail);
    const blockOf = ({ tokens, first, last }) => this.#block(tokens, tail.slice(lineStarts[first], lineStarts[last]));
    const last = groups.at(-1);
    if (last && last.first < lineStarts.length) {
      this.#settled.push(...groups.slice(0, -1).map(blockOf));
      let start = last.first;
      if (/_list_open$/.test(last.tokens[0].type) && tail.length - lineStarts[start] > LONG_LIST) {
        const items = itemsOf(last.tokens);
        if (items.length > 1) {
          const done = { ...last, tokens: withoutLast(last.tokens, items.at(-1)), last: items.at(-1).map[0] };
          this.#settled.push(blockOf(done));
          start = done.last;
          last.tokens = [opening(last.tokens[0], items.at(-1)), ...items.at(-1).tokens, last.tokens.at(-1)];
          last.first = start;
        }
      }
      this.#from += lineStarts[start];
    }
    return last ? [...this.#settled, blockOf(last)] : [...this.#settled];
  }

  #block(tokens, source) {
    const [token] = tokens;
    if (token.type === 'fence' || token.type === 'code_block') {
      // One or two backticks at the end are going to be the end of the block.
      const code = token.content.replace(/\n?`{0,2}\n?$/, '');
      return { kind: 'code', language: token.info?.trim().split(/\s/)[0] ?? '', source: code };
    }
    if (source.length > MOST) return { kind: 'plain', source };
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

/** Return the items of a list, each with its tokens. */
function itemsOf(tokens) {
  const items = [];
  for (const [index, token] of tokens.entries()) {
    if (token.level === 1 && token.type === 'list_item_open') items.push({ at: index, map: token.map, number: token.info, tokens: [] });
    if (items.length && index < tokens.length - 1) items.at(-1).tokens.push(token);
  }
  return items;
}

const withoutLast = (tokens, item) => [...tokens.slice(0, item.at), tokens.at(-1)];

/** Return how the list goes on that begins with an item. */
function opening(token, item) {
  const again = Object.assign(Object.create(Object.getPrototypeOf(token)), token);
  if (token.type === 'ordered_list_open' && item.number) again.attrs = [['start', item.number]];
  return again;
}
