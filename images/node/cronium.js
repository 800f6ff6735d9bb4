// The runtime API for node jobs: input, output, variables, condition and context of the run. Functions return promises.
// Can be loaded anywhere; outside a Cronium container a call rejects with CroniumError. No dependencies.
"use strict";

const MAX_BODY_BYTES = 5 * 1024 * 1024;
const TIMEOUT_MS = 75_000; // the sidecar waits 60 s for the replacement of a dead worker
// Retries a lost connection and a 5xx; the same Idempotency-Key makes a write count once.
const ATTEMPTS = 6;
const FIRST_PAUSE_MS = 100;
// Limits the connections to the sidecar.
const SLOTS = 32;
let busySlots = 0;
const queue = [];

async function runInSlot(task) {
  if (busySlots >= SLOTS) {
    await new Promise((resolve) => queue.push(resolve));
  } else {
    busySlots += 1;
  }
  try {
    return await task();
  } finally {
    // The slot goes to the first waiting call, if any.
    if (queue.length > 0) {
      queue.shift()();
    } else {
      busySlots -= 1;
    }
  }
}

/** Base class of all errors of this module. */
class CroniumError extends Error {
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** Cronium refused the request: `status` is the HTTP status, `code` for example NOT_FOUND. */
class CroniumAPIError extends CroniumError {
  constructor(status, code, message) {
    super(`${message} (${code}, status ${status})`);
    this.status = status;
    this.code = code;
  }
}

/** Cronium did not answer in time. */
class CroniumTimeoutError extends CroniumError {}

function getSetting(name) {
  const value = process.env[name];
  if (!value && process.env.CRONIUM_NETWORK === "none") {
    throw new CroniumError("This run has no network and so no runtime API: its job's network is 'none'.");
  }
  if (!value) {
    throw new CroniumError(`${name} is not set: this call works only inside a Cronium container.`);
  }
  return value;
}

function encodeJson(body) {
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

function parseData(status, text) {
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // reported below
  }
  if (body === null || typeof body !== "object") {
    throw new CroniumAPIError(status, "BAD_ANSWER", "Cronium's response is not JSON.");
  }
  if (status >= 400) {
    throw new CroniumAPIError(status, body.error ?? "ERROR", body.message ?? "Refused.");
  }
  return body.data;
}

/** The connection was lost: a retry may help. */
class ConnectionLost extends Error {}

function sendHttp(base, options, data) {
  const http = require("http"); // loaded on the first call
  return new Promise((resolve, reject) => {
    // Not as a URL, which would normalise the path: the server compares it byte by byte.
    const address = { host: base.hostname, port: base.port || 80, agent: false };
    const request = http.request({ ...address, ...options }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ response, text: Buffer.concat(chunks).toString("utf8") }));
      response.on("error", onError);
    });
    const timer = setTimeout(() => {
      request.destroy(new CroniumTimeoutError(`Cronium did not answer within ${TIMEOUT_MS / 1000} s.`));
    }, TIMEOUT_MS);
    function onError(error) {
      reject(error instanceof CroniumError ? error : new ConnectionLost(error.message));
    }
    request.on("error", onError);
    request.on("close", () => clearTimeout(timer));
    request.end(data);
  });
}

async function sendOnce(base, options, data) {
  const { response, text } = await sendHttp(base, options, data);
  return {
    data: parseData(response.statusCode, text),
    missing: response.headers["cronium-variable"] === "missing",
  };
}

// With `send.isBare` the body is the value itself, so that the size limit applies to the value.
async function callApi(method, path, send) {
  const base = new URL(getSetting("CRONIUM_RUNTIME_API"));
  const target = `/executions/${getSetting("CRONIUM_EXECUTION_ID")}/${path}`;
  const headers = { Authorization: `Bearer ${getSetting("CRONIUM_EXECUTION_TOKEN")}` };
  const data = send === undefined ? undefined : encodeJson(send.value);
  if (data !== undefined) {
    headers["Content-Type"] = "application/json";
    headers["Content-Length"] = data.length;
    headers["Idempotency-Key"] = require("crypto").randomUUID();
    if (send.isBare) headers["X-Cronium-Body"] = "value";
  }
  for (let retriesLeft = ATTEMPTS - 1, pause = FIRST_PAUSE_MS; ; retriesLeft -= 1, pause *= 2) {
    try {
      return await runInSlot(() => sendOnce(base, { method, path: target, headers }, data));
    } catch (error) {
      const canRetry = error instanceof ConnectionLost || (error instanceof CroniumAPIError && error.status >= 500);
      if (!canRetry || retriesLeft === 0) {
        throw error instanceof ConnectionLost
          ? new CroniumError(`Cronium can't be reached at ${base.origin}: ${error.message}`)
          : error;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
  }
}

// NAME (of this job) or shared/NAME (of all jobs).
const buildPath = (key) => `variables/${encodeURIComponent(key).replaceAll("%2F", "/")}`;

/** Resolves to this run's input, any JSON value. */
async function input() {
  return (await callApi("GET", "input")).data;
}

/** Sets the run's output, any JSON value up to 5 MiB. The last call wins. */
async function output(value) {
  await callApi("POST", "output", { value, isBare: true });
}

/** Resolves to the context of this run and its job, or one `field` of it. */
async function context(field) {
  const query = field === undefined ? "" : `?field=${encodeURIComponent(field)}`;
  return (await callApi("GET", `context${query}`)).data;
}

/** The older name of `context`. */
const event = context;

/** Resolves to the variable, or `fallback` if it does not exist. 0, false, "" and null are values. */
async function getVariable(key, fallback = null) {
  const { data, missing } = await callApi("GET", buildPath(key));
  return missing ? fallback : data;
}

/** Sets a variable; variables outlive the run. */
async function setVariable(key, value) {
  await callApi("PUT", buildPath(key), { value, isBare: true });
}

/** Adds `n` atomically; resolves to the new number. */
async function incrementVariable(key, n = 1) {
  encodeJson(n); // rejects a function: JSON.stringify would omit the member, and the server would add 1
  return (await callApi("POST", `${buildPath(key)}/increment`, { value: { amount: n } })).data;
}

/** Sets the condition that follow-up rules read: true or false, no other value. */
async function setCondition(condition) {
  if (typeof condition !== "boolean") {
    throw new CroniumError(`The condition must be true or false, not ${typeof condition}.`);
  }
  await callApi("POST", "condition", { value: { condition } });
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
