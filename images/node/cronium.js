// What a job can ask of Cronium: its input, its output, variables, its condition, facts about the run.
// Loading this module does nothing and works anywhere; a call outside a Cronium container rejects with
// CroniumError. Node's own modules only; every function returns a promise.
"use strict";

const MAX_BODY_BYTES = 5 * 1024 * 1024;
const TIMEOUT_MS = 30_000;

/** Anything that went wrong between this job and Cronium. */
class CroniumError extends Error {
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** Cronium answered no: `status` is the HTTP status, `code` a word such as NOT_FOUND. */
class CroniumAPIError extends CroniumError {
  constructor(status, code, message) {
    super(`${message} (${code}, status ${status})`);
    this.status = status;
    this.code = code;
  }
}

/** Cronium did not answer in time. */
class CroniumTimeoutError extends CroniumError {}

function setting(name) {
  const value = process.env[name];
  if (!value) {
    throw new CroniumError(`${name} is not set: this call works only inside a Cronium container.`);
  }
  return value;
}

function encode(body) {
  let text;
  try {
    text = JSON.stringify(body);
  } catch (error) {
    throw new CroniumError(`The value can't be written as JSON: ${error.message}`);
  }
  const data = Buffer.from(text, "utf8");
  if (data.length > MAX_BODY_BYTES) {
    throw new CroniumError(`The value is ${data.length} bytes of JSON; ${MAX_BODY_BYTES} are allowed.`);
  }
  return data;
}

// undefined and functions have no JSON: left alone, JSON.stringify would drop the whole member.
function wrap(name, value) {
  if (JSON.stringify(value) === undefined) {
    throw new CroniumError(`${typeof value} can't be written as JSON.`);
  }
  return { [name]: value };
}

function parse(status, text) {
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    // told below
  }
  if (answer === null || typeof answer !== "object") {
    throw new CroniumAPIError(status, "BAD_ANSWER", "Cronium's answer is not JSON.");
  }
  if (status >= 400) {
    throw new CroniumAPIError(status, answer.error ?? "ERROR", answer.message ?? "Refused.");
  }
  return answer.data;
}

function exchange(url, options, data) {
  const http = require("http"); // only who calls pays for loading it
  return new Promise((resolve, reject) => {
    const request = http.request(url, { ...options, agent: false }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ response, text: Buffer.concat(chunks).toString("utf8") }));
      response.on("error", fail);
    });
    const timer = setTimeout(() => {
      request.destroy(new CroniumTimeoutError(`Cronium did not answer within ${TIMEOUT_MS / 1000} s.`));
    }, TIMEOUT_MS);
    function fail(error) {
      const known = error instanceof CroniumError;
      reject(known ? error : new CroniumError(`Cronium can't be reached at ${url.origin}: ${error.message}`));
    }
    request.on("error", fail);
    request.on("close", () => clearTimeout(timer));
    request.end(data);
  });
}

async function call(method, path, body) {
  const base = setting("CRONIUM_RUNTIME_API");
  const url = new URL(`/executions/${setting("CRONIUM_EXECUTION_ID")}/${path}`, base);
  const headers = { Authorization: `Bearer ${setting("CRONIUM_EXECUTION_TOKEN")}` };
  const data = body === undefined ? undefined : encode(body);
  if (data !== undefined) {
    headers["Content-Type"] = "application/json";
    headers["Content-Length"] = data.length;
  }
  const { response, text } = await exchange(url, { method, headers }, data);
  return {
    data: parse(response.statusCode, text),
    missing: response.headers["cronium-variable"] === "missing",
  };
}

const variable = (key) => `variables/${encodeURIComponent(key)}`;

/** This run's input: any JSON value. */
async function input() {
  return (await call("GET", "input")).data;
}

/** Set the run's output: any value JSON can hold, up to 5 MiB of text. The last call wins. */
async function output(value) {
  await call("POST", "output", wrap("output", value));
}

/** Facts about this run and its job: all of them, or the one called `field`. */
async function event(field) {
  const query = field === undefined ? "" : `?field=${encodeURIComponent(field)}`;
  return (await call("GET", `context${query}`)).data;
}

/** The variable's value, or `fallback` if there is no such variable. 0, false, "" and null are values. */
async function getVariable(key, fallback = null) {
  const { data, missing } = await call("GET", variable(key));
  return missing ? fallback : data;
}

/** Keep a value that outlives the run. */
async function setVariable(key, value) {
  await call("PUT", variable(key), wrap("value", value));
}

/** Add `n` in one step at the server; resolves to the new number. */
async function incrementVariable(key, n = 1) {
  return (await call("POST", `${variable(key)}/increment`, wrap("amount", n))).data;
}

/** Set the condition that follow-up rules read. */
async function setCondition(condition) {
  await call("POST", "condition", { condition: Boolean(condition) });
}

module.exports = {
  CroniumAPIError,
  CroniumError,
  CroniumTimeoutError,
  event,
  getVariable,
  incrementVariable,
  input,
  output,
  setCondition,
  setVariable,
};
