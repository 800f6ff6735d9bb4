// Web Worker: finds the matches of a regular expression in lines. A JavaScript expression may backtrack without end,
// so it runs on this thread, which the page can terminate.
import { findSpans } from "./find_query.js";

onmessage = ({ data: { source, flags, texts } }) => {
  const regExp = new RegExp(source, flags);
  postMessage(texts.map(([key, text]) => [key, findSpans(regExp, text)]));
};
