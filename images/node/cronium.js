// What a job can ask of Cronium: its input, its output, variables, its condition, facts about the run.
// Loading this module does nothing and works anywhere; a call outside a Cronium container rejects with
// CroniumError. Node's own modules only; every function returns a promise.
"use strict";

const MAX_BODY_BYTES = 5 * 1024 * 1024;
const TIMEOUT_MS = 75_000; // the sidecar itself waits 60 s for a worker that takes another's place
// A lost connection or a 5xx is tried again; a write keeps its Idempotency-Key, so it counts once.
const ATTEMPTS = 6;
const FIRST_PAUSE_MS = 100;
// Of the sidecar's connections, however many promises there are at once.
const SLOTS = 32;
let busy = 0;
const queue = [];

async function inSlot(work) {
  if (busy >= SLOTS) {
    await new Promise((go) => queue.push(go));
  } else {
    busy += 1;
  }
  try {
    return await work();
  } finally {
    // A slot goes to who waits longest, or becomes free.
    if (queue.length > 0) {
      queue.shift()();
    } else {
      busy -= 1;
    }
  }
}

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
  if (!value && process.env.CRONIUM_NETWORK === "none") {
    throw new CroniumError("This run has no network and so no runtime API: its job's network is 'none'.");
  }
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
  if (text === undefined) {
    throw new CroniumError(`${typeof body} can't be written as JSON.`);
  }
  const data = Buffer.from(text, "utf8");
  if (data.length > MAX_BODY_BYTES) {
    throw new CroniumError(`The value is ${data.length} bytes of JSON; ${MAX_BODY_BYTES} are allowed.`);
  }
  return data;
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

/** No whole answer came: worth another try. */
class Lost extends Error {}

function exchange(base, options, data) {
  const http = require("http"); // only who calls pays for loading it
  return new Promise((resolve, reject) => {
    // Host, port and path one by one: a URL would tidy the path, and the server compares it byte for byte.
    const place = { host: base.hostname, port: base.port || 80, agent: false };
    const request = http.request({ ...place, ...options }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ response, text: Buffer.concat(chunks).toString("utf8") }));
      response.on("error", fail);
    });
    const timer = setTimeout(() => {
      request.destroy(new CroniumTimeoutError(`Cronium did not answer within ${TIMEOUT_MS / 1000} s.`));
    }, TIMEOUT_MS);
    function fail(error) {
      reject(error instanceof CroniumError ? error : new Lost(error.message));
    }
    request.on("error", fail);
    request.on("close", () => clearTimeout(timer));
    request.end(data);
  });
}

async function attempt(base, options, data) {
  const { response, text } = await exchange(base, options, data);
  return {
    data: parse(response.statusCode, text),
    missing: response.headers["cronium-variable"] === "missing",
  };
}

// `send.value` is the body; with `send.bare` it is the value itself, whatever it looks like, so that its own size counts.
async function call(method, path, send) {
  const base = new URL(setting("CRONIUM_RUNTIME_API"));
  const target = `/executions/${setting("CRONIUM_EXECUTION_ID")}/${path}`;
  const headers = { Authorization: `Bearer ${setting("CRONIUM_EXECUTION_TOKEN")}` };
  const data = send === undefined ? undefined : encode(send.value);
  if (data !== undefined) {
    headers["Content-Type"] = "application/json";
    headers["Content-Length"] = data.length;
    headers["Idempotency-Key"] = require("crypto").randomUUID();
    if (send.bare) headers["X-Cronium-Body"] = "value";
  }
  for (let left = ATTEMPTS - 1, pause = FIRST_PAUSE_MS; ; left -= 1, pause *= 2) {
    try {
      return await inSlot(() => attempt(base, { method, path: target, headers }, data));
    } catch (error) {
      const again = error instanceof Lost || (error instanceof CroniumAPIError && error.status >= 500);
      if (!again || left === 0) {
        throw error instanceof Lost
          ? new CroniumError(`Cronium can't be reached at ${base.origin}: ${error.message}`)
          : error;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
  }
}

// NAME is this job's own; shared/NAME is what all jobs have in common.
const variable = (key) => `variables/${encodeURIComponent(key).replaceAll("%2F", "/")}`;

/** This run's input: any JSON value. */
async function input() {
  return (await call("GET", "input")).data;
}

/** Set the run's output: any value JSON can hold, up to 5 MiB of text. The last call wins. */
async function output(value) {
  await call("POST", "output", { value, bare: true });
}

/** Facts about this run and its job: all of them, or the one called `field`. */
async function context(field) {
  const query = field === undefined ? "" : `?field=${encodeURIComponent(field)}`;
  return (await call("GET", `context${query}`)).data;
}

/** The same by its older name. */
const event = context;

/** The variable's value, or `fallback` if there is no such variable. 0, false, "" and null are values. */
async function getVariable(key, fallback = null) {
  const { data, missing } = await call("GET", variable(key));
  return missing ? fallback : data;
}

/** Keep a value that outlives the run. */
async function setVariable(key, value) {
  await call("PUT", variable(key), { value, bare: true });
}

/** Add `n` in one step at the server; resolves to the new number. */
async function incrementVariable(key, n = 1) {
  encode(n); // a function has no JSON: left alone, the member would be dropped, and that means 1
  return (await call("POST", `${variable(key)}/increment`, { value: { amount: n } })).data;
}

/** Set the condition that follow-up rules read: true or false, nothing that only looks like it. */
async function setCondition(condition) {
  if (typeof condition !== "boolean") {
    throw new CroniumError(`The condition is true or false, not ${typeof condition}.`);
  }
  await call("POST", "condition", { value: { condition } });
}

module.exports = {
  CroniumAPIError,
  CroniumError,
  CroniumTimeoutError,
  context,
  event,
  getVariable,
  incrementVariable,
  input,
  output,
  setCondition,
  setVariable,
};
