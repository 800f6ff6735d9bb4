// A worker: where an expression matches in lines. On a thread of its own, as JavaScript's expressions may take for
// ever over a line that was made for it; who asked ends the thread then.
import { spans } from "./find_query.js";

onmessage = ({ data: { source, flags, texts } }) => {
  const pattern = new RegExp(source, flags);
  postMessage(texts.map(([key, text]) => [key, spans(pattern, text)]));
};
