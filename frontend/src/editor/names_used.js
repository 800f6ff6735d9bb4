// A simple reading of a script: which environment variables and which variables of Cronium it names. Only a hint: names
// that are computed are not found.

const WORD = "[A-Za-z_][A-Za-z0-9_]*";
const ENVIRONMENT = {
  python: [`environ\\[\\s*["'](${WORD})["']`, `environ\\.get\\(\\s*["'](${WORD})["']`, `getenv\\(\\s*["'](${WORD})["']`],
  node: [`process\\.env\\.(${WORD})`, `process\\.env\\[\\s*["'](${WORD})["']`],
  bash: ["\\$([A-Z][A-Z0-9_]+)", "\\$\\{([A-Z][A-Z0-9_]+)"],
};
const VARIABLES = {
  python: [`(?:get|set|increment)_variable\\(\\s*["']([^"']+)["']`],
  node: [`(?:get|set|increment)Variable\\(\\s*["'\`]([^"'\`]+)["'\`]`],
  bash: [`cronium_(?:get|set|increment)_variable\\s+["']?([A-Za-z0-9_./-]+)`],
};
// Set by the image, the shell or Cronium.
const KNOWN = new Set((
  "PATH HOME PWD OLDPWD USER LOGNAME SHELL LANG LC_ALL TERM TZ TMPDIR HOSTNAME RANDOM SECONDS LINENO IFS UID EUID PPID BASHPID BASH BASH_VERSION " +
  "BASH_SOURCE BASH_REMATCH BASH_LINENO BASH_COMMAND FUNCNAME DIRSTACK GROUPS HOSTTYPE MACHTYPE OSTYPE PIPESTATUS OPTARG OPTIND REPLY PYTHONPATH NODE_PATH EPOCHSECONDS EPOCHREALTIME SHLVL COLUMNS LINES"
).split(" "));

function findNames(text, patterns) {
  const names = patterns.flatMap((pattern) => [...text.matchAll(new RegExp(pattern, "g"))].map((match) => match[1]));
  return [...new Set(names)];
}

/** Lines that are comments as a whole do not count. */
function stripComments(text, language) {
  return text.replace(language === "node" ? /^\s*\/\/.*$/gm : /^\s*#.*$/gm, "");
}

/** `{environment, variables}`: names in the order of the script, without those that every script has. */
export function findNamesUsed(text, language) {
  const code = stripComments(text, language);
  const isSetHere = (name) => language === "bash" && new RegExp(`(?:^|[\\s;(])(?:export\\s+|local\\s+|readonly\\s+|for\\s+|read\\s+(?:-\\w+\\s+)*)?${name}(?:=|\\s+in\\s|\\s*$)`, "m").test(code);
  const isGiven = (name) => KNOWN.has(name) || name.startsWith("CRONIUM_") || isSetHere(name);
  return {
    environment: findNames(code, ENVIRONMENT[language]).filter((name) => !isGiven(name)),
    variables: findNames(code, VARIABLES[language]),
  };
}
