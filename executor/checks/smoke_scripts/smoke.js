// Runs inside the image: loads the packages of SMOKE_IMPORTS, and prints the checks as JSON.
const fs = require("fs");
const path = require("path");

const rows = [];
async function check(name, step) {
  let found = "";
  try {
    found = (await step()) || "";
  } catch (error) {
    found = String((error && error.message) || error).split("\n")[0];
  }
  rows.push({ name, passed: !found, found });
}

function loadHelper() {
  return typeof require("cronium").input === "function" ? "" : "the helper has no input()";
}

async function loadPackage(name) {
  const folder = path.join("/node_modules", name);
  const about = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"));
  const isProgram = about.bin && !about.main && !about.exports && !fs.existsSync(path.join(folder, "index.js"));
  const isData = !about.main && !about.exports && !about.module && !fs.existsSync(path.join(folder, "index.js"));
  if (isProgram || isData) return "";
  try {
    require(name);
  } catch (error) {
    if (error.code !== "ERR_REQUIRE_ESM" && error.code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw error;
    await import(name);
  }
  return "";
}

function findSetuid() {
  const device = fs.lstatSync("/").dev;
  const found = [];
  const folders = ["/"];
  while (folders.length) {
    const folder = folders.pop();
    let names = [];
    try {
      names = fs.readdirSync(folder);
    } catch {
      continue;
    }
    for (const name of names) {
      const file = path.join(folder, name);
      let state;
      try {
        state = fs.lstatSync(file);
      } catch {
        continue;
      }
      if (state.dev !== device) continue;
      if (state.isDirectory()) folders.push(file);
      else if (state.isFile() && state.mode & 0o6000) found.push(file);
    }
  }
  return found.length ? `setuid or setgid files: ${found.sort().slice(0, 5).join(", ")}` : "";
}

(async () => {
  await check("helper", loadHelper);
  for (const name of JSON.parse(process.env.SMOKE_IMPORTS)) await check(`import ${name}`, () => loadPackage(name));
  await check("setuid", findSetuid);
  console.log(JSON.stringify(rows));
})();
