/**
 * Turn the Markdown that models write into nodes: paragraphs, headings, lists, quotes, code.
 * Text only ever becomes text nodes, so nothing a model says can become markup of the page.
 */
export function render(text) {
  const lines = text.split("\n");
  const nodes = [];
  while (lines.length) nodes.push(...block(lines));
  return nodes;
}

const ITEM = /^\s*(?:[-*+]|\d+[.)])\s+/;
const START = /^(?:```|#{1,6} |>|\s*(?:[-*+]|\d+[.)])\s)/;

function block(lines) {
  const line = lines[0];
  if (!line.trim()) return lines.shift(), [];
  if (line.startsWith("```")) return [code(lines)];
  if (/^#{1,6} /.test(line)) return [element("h3", ...inline(lines.shift().replace(/^#+ /, "")))];
  if (line.startsWith(">")) return [quote(lines)];
  if (ITEM.test(line)) return [list(lines)];
  return [element("p", ...inline(take(lines, (next) => next.trim() && !START.test(next)).join("\n")))];
}

/** Remove the first line, and those after it that belong to it. */
function take(lines, belongs) {
  const taken = [lines.shift()];
  while (lines.length && belongs(lines[0])) taken.push(lines.shift());
  return taken;
}

function code(lines) {
  const taken = take(lines, (next) => !next.startsWith("```"));
  lines.shift();
  return element("pre", element("code", taken.slice(1).join("\n")));
}

function quote(lines) {
  const taken = take(lines, (next) => next.startsWith(">"));
  return element("blockquote", ...render(taken.map((line) => line.replace(/^> ?/, "")).join("\n")));
}

function list(lines) {
  const kind = /^\s*\d/.test(lines[0]) ? "ol" : "ul";
  const items = take(lines, (next) => ITEM.test(next));
  return element(kind, ...items.map((item) => element("li", ...inline(item.replace(ITEM, "")))));
}

const SPAN = /`([^`]+)`|\*\*(.+?)\*\*|\*([^*\s][^*]*)\*/g;

function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(SPAN)) {
    const [whole, literal, strong, emphasis] = match;
    nodes.push(text.slice(end, match.index));
    if (literal) nodes.push(element("code", literal));
    else if (strong) nodes.push(element("strong", ...inline(strong)));
    else nodes.push(element("em", emphasis));
    end = match.index + whole.length;
  }
  return [...nodes, text.slice(end)];
}

export function element(name, ...children) {
  const node = document.createElement(name);
  node.append(...children);
  return node;
}
