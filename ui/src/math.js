// Formulas stay as they were written: Markdown would take their backslashes and underscores away.

const INLINE = [['\\(', '\\)'], ['$$', '$$'], ['\\[', '\\]'], ['$', '$']];

function inline(state, silent) {
  for (const [open, close] of INLINE) {
    if (!state.src.startsWith(open, state.pos)) continue;
    const from = state.pos + open.length;
    const to = state.src.indexOf(close, from);
    if (to <= from || to + close.length > state.posMax) continue;
    const inside = state.src.slice(from, to);
    // "$5 and $6" are prices: no space stands inside the marks, and no digit behind them.
    if (open === '$' && (/^\s|\s$|\n/.test(inside) || /\d/.test(state.src[to + 1] ?? ''))) continue;
    if (!silent) {
      const token = state.push('math', 'span', 0);
      token.content = state.src.slice(state.pos, to + close.length);
    }
    state.pos = to + close.length;
    return true;
  }
  return false;
}

function block(state, startLine, endLine, silent) {
  const line = (number) => state.src.slice(state.bMarks[number] + state.tShift[number], state.eMarks[number]);
  const first = line(startLine);
  const close = first.startsWith('$$') ? '$$' : first.startsWith('\\[') ? '\\]' : '';
  if (!close) return false;
  let last = startLine;
  const closes = () => line(last).trimEnd().endsWith(close) && (last > startLine || first.trimEnd().length > 3);
  while (!closes() && last + 1 < endLine && !state.isEmpty(last + 1)) last += 1;
  if (!closes()) return false;
  if (silent) return true;
  const token = state.push('math_block', 'div', 0);
  token.content = state.getLines(startLine, last + 1, state.blkIndent, false).trimEnd();
  token.map = [startLine, last + 1];
  token.block = true;
  state.line = last + 1;
  return true;
}

export function math(md) {
  const escape = md.utils.escapeHtml;
  md.inline.ruler.before('escape', 'math', inline);
  md.block.ruler.before('fence', 'math_block', block, { alt: ['paragraph'] });
  md.renderer.rules.math = (tokens, index) => `<span class="math">${escape(tokens[index].content)}</span>`;
  md.renderer.rules.math_block = (tokens, index) => `<div class="math">${escape(tokens[index].content)}</div>\n`;
}
