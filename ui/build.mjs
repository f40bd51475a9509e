// Bundles the page into the package: `make ui`, or `npm ci && node build.mjs` in here.
import { build } from 'esbuild';
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';

const out = process.argv[2] ?? '../zai_async/web/ui/dist';

// zod, by which the AI SDK checks what arrives, brings its messages in 40 languages.
const oneLanguage = {
  name: 'one-language',
  setup(bundle) {
    bundle.onLoad({ filter: /zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js";',
    }));
  },
};

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const { metafile } = await build({
  entryPoints: ['src/app.jsx', 'src/style.css'],
  outdir: out,
  bundle: true,
  minify: true,
  format: 'esm',
  jsx: 'automatic',
  target: ['chrome119', 'firefox121', 'safari17'],
  define: { 'process.env.NODE_ENV': '"production"' },
  legalComments: 'none', // whole licences are beside the bundle
  metafile: true,
  plugins: [oneLanguage],
  logLevel: 'warning',
});
await copyFile('src/index.html', `${out}/index.html`);

// Whose code is in the bundle has to be said where the bundle goes.
const found = Object.keys(metafile.inputs).map((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
const licences = [];
for (const folder of [...new Set(found.filter(Boolean))].sort()) {
  const about = JSON.parse(await readFile(`${folder}/package.json`));
  const file = (await readdir(folder)).find((name) => /^licen[cs]e/i.test(name));
  const text = file ? await readFile(`${folder}/${file}`, 'utf8') : '';
  licences.push(`${about.name} ${about.version} (${about.license})\n\n${text.trim()}\n`);
}
await writeFile(`${out}/LICENSES.txt`, licences.join(`\n${'-'.repeat(70)}\n\n`));

const sizes = Object.entries(metafile.outputs).map(([path, { bytes }]) => `${path} ${Math.round(bytes / 1024)} KiB`);
console.log(sizes.join('\n'));
