// Runs inside a build: downloads npm 10, which node 18 and newer can run, from NPM_CONFIG_REGISTRY to a file.
// curl, because older versions of node do not read HTTPS_PROXY.
const { execFileSync } = require("child_process");
const fs = require("fs");

const registry = process.env.NPM_CONFIG_REGISTRY.replace(/\/+$/, "");
const given = "/tmp/.cronium/npmrc";
const login = fs.existsSync(given) ? /:_auth=(\S+)/.exec(fs.readFileSync(given, "utf8")) : null;
const config = login ? `header = "Authorization: Basic ${login[1]}"\n` : "";

function get(url, ...options) {
  const own = url.startsWith(registry) ? config : "";
  const words = ["-sS", "--fail", "-L", "--max-time", "120", "-K", "-", ...options, url];
  return execFileSync("curl", words, { input: own, maxBuffer: 64 << 20, stdio: ["pipe", "pipe", "inherit"] });
}

try {
  const about = JSON.parse(get(`${registry}/npm`, "-H", "Accept: application/vnd.npm.install-v1+json"));
  const versions = Object.keys(about.versions).filter((version) => /^10\.\d+\.\d+$/.test(version));
  versions.sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
  if (!versions.length) throw new Error("it has no npm 10");
  // A mirror may name the registry that it mirrors; npm itself replaces this host too.
  const tarball = about.versions[versions.at(-1)].dist.tarball.replace(/^https:\/\/registry\.npmjs\.org/, registry);
  fs.writeFileSync(process.argv[2], get(tarball));
} catch (problem) {
  // curl has written its own error; the message of a failed command is its command line.
  const cause = problem.status === undefined ? problem.message : `curl ended with ${problem.status}`;
  console.error(`cronium-build: npm could not be fetched from ${new URL(registry).host}: ${cause}`);
  process.exit(1);
}
