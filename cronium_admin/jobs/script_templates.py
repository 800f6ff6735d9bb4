"""The example script that a new job begins with, one per language."""

STARTERS = {
    "bash": """echo "Hello from $CRONIUM_JOB_TYPE"
for step in 1 2 3; do
  echo "step $step of 3"
  sleep 1
done
""",
    "python": """import time

print("Hello from Python", flush=True)
for step in range(1, 4):
    print(f"step {step} of 3", flush=True)
    time.sleep(1)
""",
    "node": """async function main() {
  console.log("Hello from Node.js");
  for (let step = 1; step <= 3; step++) {
    console.log(`step ${step} of 3`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

main();
""",
}
