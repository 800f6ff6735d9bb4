// Builds static/cronium from src and the pinned packages; with --check it only compares and exits 1 on a difference.
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
const checking = process.argv.includes("--check");
const out = checking ? mkdtempSync(join(tmpdir(), "cronium-build-")) : committed;

// Of the vendor's styles the pages take those of plain elements and of these classes. The rest would hold up the first
// paint of every page: 633 KB. Who uses another of its classes adds it here.
const VENDOR_CLASSES = ["btn", "empty", "tag"];
const ELEMENTS = (
  "html body main nav header aside section h1 h2 h3 p a b strong small code pre kbd samp ul ol li dl dt dd table caption thead tbody " +
  "tr th td form fieldset legend label input textarea select option button details summary dialog progress svg img hr br span div time mark"
).split(" ");

// The script of the head blocks the first paint, so it stays a file of its own; the rest is a bundle a page.
const SCRIPTS = {
  theme_init: "theme_init.js", app: "app.js", job_editor: "job_editor.js", variable_editor: "variable_editor.js", run_page: "run/run_page.js",
  "match.worker": "run/match.worker.js",
};

async function scripts() {
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

async function styles() {
  await build({
    entryPoints: { vendor: join(here, "src/css/vendor.css"), app: join(here, "src/css/app.css") },
    outdir: out,
    bundle: true,
    minify: true,
    external: ["*.woff2"],
    target: ["chrome111", "firefox113", "safari16.4"],
    legalComments: "none",
    absWorkingDir: here,
  });
  await purge(join(out, "vendor.css"));
  // Shares of a bar as classes: the policy forbids style attributes, and bars must be right without a script.
  let rules = "";
  for (let share = 0; share <= 100; share++) rules += `.grow-${share}{flex-grow:${share}}.w-p${share}{width:${share}%}`;
  const app = join(out, "app.css");
  writeFileSync(app, readFileSync(app, "utf8").trimEnd() + rules + "\n");
}

async function purge(file) {
  const content = [{ raw: [...ELEMENTS, ...VENDOR_CLASSES].join(" "), extension: "html" }];
  const safelist = { greedy: [/data-bs-theme/], keyframes: [] };
  const [{ css }] = await new PurgeCSS().purge({
    content, css: [{ raw: readFileSync(file, "utf8") }], safelist, keyframes: true, fontFace: true, variables: true,
    dynamicAttributes: ["data-bs-theme", "type", "role", "hidden", "href", "disabled"],
  });
  const { code } = await transform(css, { loader: "css", minify: true });
  writeFileSync(file, code);
}

function sprite() {
  const symbols = ICONS.map((name) => {
    const svg = readFileSync(join(here, "node_modules/@tabler/icons/icons/outline", `${name}.svg`), "utf8");
    const paths = [...svg.matchAll(/<(path|circle|rect|line)[^>]*\/>/g)].map((m) => m[0].replace(/\s+/g, " "));
    const drawn = paths.filter((path) => !path.includes('d="M0 0h24v24H0z"'));
    return `<symbol id="${name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" ` +
      `stroke-linecap="round" stroke-linejoin="round">${drawn.join("")}</symbol>`;
  });
  writeFileSync(join(out, "sprite.svg"), `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("\n")}</svg>\n`);
}

function copies() {
  mkdirSync(join(out, "fonts"), { recursive: true });
  for (const weight of [400, 700]) {
    const file = `jetbrains-mono-latin-${weight}-normal.woff2`;
    copyFileSync(join(here, "node_modules/@fontsource/jetbrains-mono/files", file), join(out, "fonts", file));
  }
  copyFileSync(join(here, "src/favicon.svg"), join(out, "favicon.svg"));
  // The licences of what is bundled go with the bundles.
  const notices = ["@tabler/core", "@tabler/icons", "htmx.org", "codemirror", "@fontsource/jetbrains-mono"].map((name) => {
    const folder = join(here, "node_modules", name);
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const version = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version;
    return `${name} ${version}\n\n${file ? readFileSync(join(folder, file), "utf8").trim() : ""}\n`;
  });
  writeFileSync(join(out, "NOTICES.txt"), notices.join("\n----\n\n"));
}

function listing(folder) {
  if (!existsSync(folder)) return new Map();
  const files = readdirSync(folder, { recursive: true }).map((name) => join(folder, name));
  return new Map(files.filter((file) => statSync(file).isFile()).map((file) => [
    relative(folder, file), createHash("sha256").update(readFileSync(file)).digest("hex"),
  ]));
}

mkdirSync(out, { recursive: true });
await scripts();
await styles();
sprite();
copies();
if (checking) {
  const [fresh, stored] = [listing(out), listing(committed)];
  const differing = [...new Set([...fresh.keys(), ...stored.keys()])].filter((name) => fresh.get(name) !== stored.get(name));
  rmSync(out, { recursive: true });
  if (differing.length) {
    console.error(`static/cronium differs from its sources: ${differing.sort().join(", ")}. Run: npm ci && npm run build`);
    process.exit(1);
  }
  console.log(`static/cronium matches its sources (${fresh.size} files)`);
}
