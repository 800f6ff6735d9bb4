// Counts the words of a text, draws a chart in colours, and sets the run's output.
const cronium = require("cronium");

const colours = [31, 32, 33, 34, 35, 36];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function main() {
  const facts = await cronium.event();
  console.log(`Node ${process.version}, run ${process.env.CRONIUM_JOB_ID}`);
  console.log("What this run knows of itself:", facts);

  const { text } = (await cronium.input()) ?? {};
  if (typeof text !== "string" || !text.trim()) {
    throw new Error('The input needs a text: {"text": "..."}');
  }

  const counts = new Map();
  for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const top = [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, 10);
  for (const [index, [word, count]] of top.entries()) {
    const colour = colours[index % colours.length];
    console.log(`${word.padEnd(12)} \x1b[${colour}m${"█".repeat(count * 3)}\x1b[0m ${count}`);
    await pause(150);
  }
  await cronium.output({ different: counts.size, top: Object.fromEntries(top) });
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
