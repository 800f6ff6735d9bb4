// Builds static/cronium from src and the pinned packages. With --check it builds elsewhere, compares, and exits with 1 if
// a file differs.
import { build, transform } from "esbuild";
import { PurgeCSS } from "purgecss";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync, copyFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { ICONS } from "./src/icons.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const committed = join(here, "..", "static", "cronium");
const isCheck = process.argv.includes("--check");
const out = isCheck ? mkdtempSync(join(tmpdir(), "cronium-build-")) : committed;

// The vendor's styles (633 KB) would delay the first paint of every page. The bundle keeps the styles of plain elements
// and of these classes; add a class here before a template uses it.
const VENDOR_CLASSES = ["btn", "empty", "tag"];
const ELEMENTS = (
  "html body main nav header aside section h1 h2 h3 p a b strong small code pre kbd samp ul ol li dl dt dd table caption thead tbody " +
  "tr th td form fieldset legend label input textarea select option button details summary dialog progress svg img hr br span div time mark"
).split(" ");

// theme_init blocks the first paint, so it is a separate file; the others are one bundle a page, and a Web Worker.
const SCRIPTS = {
  theme_init: "theme_init.js", app: "app.js", job_editor: "job_editor.js", variable_editor: "variable_editor.js", schedule_editor: "schedule_editor.js",
  run_page: "run/run_page.js", home: "home/home.js",
  "match.worker": "run/match.worker.js",
};

async function buildScripts() {
  await build({
    entryPoints: Object.fromEntries(Object.entries(SCRIPTS).map(([name, path]) => [name, join(here, "src", path)])),
    outdir: out,
    bundle: true,
    minify: true,
    format: "iife",
    target: ["chrome111", "firefox113", "safari16.4"],
    legalComments: "none",
    absWorkingDir: here,
  });
}

async function buildStyles() {
  await build({
    entryPoints: { vendor: join(here, "src/css/vendor.css"), app: join(here, "src/css/app.css"), home: join(here, "src/css/home.css"), styleguide: join(here, "src/css/styleguide.css") },
    outdir: out,
    bundle: true,
    minify: true,
    external: ["*.woff2"],
    target: ["chrome111", "firefox113", "safari16.4"],
    legalComments: "none",
    absWorkingDir: here,
  });
  await purgeStyles(join(out, "vendor.css"));
  // The parts of a bar get their width from classes: the content security policy forbids style attributes, and bars must
  // work without JavaScript.
  let rules = "";
  for (let share = 0; share <= 100; share++) rules += `.grow-${share}{flex-grow:${share}}.w-p${share}{width:${share}%}`;
  const app = join(out, "app.css");
  writeFileSync(app, readFileSync(app, "utf8").trimEnd() + rules + "\n");
}

async function purgeStyles(file) {
  const content = [{ raw: [...ELEMENTS, ...VENDOR_CLASSES].join(" "), extension: "html" }];
  const safelist = { greedy: [/data-bs-theme/], keyframes: [] };
  const [{ css }] = await new PurgeCSS().purge({
    content, css: [{ raw: readFileSync(file, "utf8") }], safelist, keyframes: true, fontFace: true, variables: true,
    dynamicAttributes: ["data-bs-theme", "type", "role", "hidden", "href", "disabled"],
  });
  const { code } = await transform(css, { loader: "css", minify: true });
  writeFileSync(file, code);
}

function buildSprite() {
  const symbols = ICONS.map((name) => {
    const svg = readFileSync(join(here, "node_modules/@tabler/icons/icons/outline", `${name}.svg`), "utf8");
    const paths = [...svg.matchAll(/<(path|circle|rect|line)[^>]*\/>/g)].map((m) => m[0].replace(/\s+/g, " "));
    const visible = paths.filter((path) => !path.includes('d="M0 0h24v24H0z"'));
    return `<symbol id="${name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" ` +
      `stroke-linecap="round" stroke-linejoin="round">${visible.join("")}</symbol>`;
  });
  writeFileSync(join(out, "sprite.svg"), `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("\n")}</svg>\n`);
}

function copyFiles() {
  mkdirSync(join(out, "fonts"), { recursive: true });
  for (const weight of [400, 700]) {
    const file = `jetbrains-mono-latin-${weight}-normal.woff2`;
    copyFileSync(join(here, "node_modules/@fontsource/jetbrains-mono/files", file), join(out, "fonts", file));
  }
  copyFileSync(join(here, "src/favicon.svg"), join(out, "favicon.svg"));
  // The licences of the bundled packages.
  const notices = ["@tabler/core", "@tabler/icons", "htmx.org", "codemirror", "@fontsource/jetbrains-mono", "uplot"].map((name) => {
    const folder = join(here, "node_modules", name);
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const version = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version;
    return `${name} ${version}\n\n${file ? readFileSync(join(folder, file), "utf8").trim() : ""}\n`;
  });
  writeFileSync(join(out, "NOTICES.txt"), notices.join("\n----\n\n"));
}

/** A map from relative path to SHA-256. */
function hashFiles(folder) {
  if (!existsSync(folder)) return new Map();
  const files = readdirSync(folder, { recursive: true }).map((name) => join(folder, name));
  return new Map(files.filter((file) => statSync(file).isFile()).map((file) => [
    relative(folder, file), createHash("sha256").update(readFileSync(file)).digest("hex"),
  ]));
}

mkdirSync(out, { recursive: true });
await buildScripts();
await buildStyles();
buildSprite();
copyFiles();
if (isCheck) {
  const [built, existing] = [hashFiles(out), hashFiles(committed)];
  const differing = [...new Set([...built.keys(), ...existing.keys()])].filter((name) => built.get(name) !== existing.get(name));
  rmSync(out, { recursive: true });
  if (differing.length) {
    console.error(`static/cronium differs from its sources: ${differing.sort().join(", ")}. Run: npm ci && npm run build`);
    process.exit(1);
  }
  console.log(`static/cronium matches its sources (${built.size} files)`);
}
