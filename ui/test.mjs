// However a text arrives, its blocks say in the end what the whole text says: `npm test`.
import { Blocks, md } from './src/blocks.js';

let state = Number(process.argv[2] ?? 7);
const chance = () => (state = (state * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
const pick = (choices) => choices[Math.floor(chance() * choices.length)];
const many = (count, make) => Array.from({ length: count }, (_, index) => make(index));

const WORDS = 'the quick **brown** fox `jumps` over [a](https://x.y) lazy_dog * and $a_b$'.split(' ');
const say = (count) => many(count, () => pick(WORDS)).join(' ');
const item = (index) =>
  `${index + 1}. ${say(8)}` +
  (index % 7 ? '' : `\n   - ${say(3)}\n     - ${say(2)}`) +
  (index % 11 ? '' : '\n\n   ```js\n   code(1)\n   ```');
const SHAPES = [
  () => `# ${say(4)}`,
  () => say(40),
  () => `> ${say(20)}\n> ${say(5)}`,
  () => many(60, item).join('\n'),
  () => many(60, () => `- ${say(8)}`).join('\n\n'),
  () => ['| a | b |', '|---|--:|', ...many(120, (index) => `| ${index} ${say(2)} | ${say(3)} |`)].join('\n'),
  () => `\`\`\`python\n${many(300, (index) => `x = ${index}  # ${say(2)}\n`).join('')}\`\`\``,
  () => '$$\n\\int_0^1 x_i\n$$',
  () => '---',
  () => '    indented\n    code',
  () => 'Title\n=====',
];

const words = (html) => html.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim();
const htmlOf = (block) => (block.kind === 'html' ? block.html() : `<pre>${md.utils.escapeHtml(block.source)}</pre>`);

let bad = 0;
for (let round = 0; round < 60; round += 1) {
  const text = many(12, () => pick(SHAPES)()).join('\n\n');
  const blocks = new Blocks();
  let shown = [];
  for (let at = 0; at < text.length; ) {
    at = Math.min(text.length, at + 1 + Math.floor(chance() * 2048));
    shown = blocks.update(text.slice(0, at));
  }
  if (words(shown.map(htmlOf).join('\n')) !== words(md.render(text))) bad += 1;
}
console.log(`60 texts, ${bad} differences`);
process.exit(bad ? 1 : 0);
