# Runs commands side by side as tasks. The output of a task goes to a file and is printed when the task has ended.
# Source this file after lib.sh, and call stop_tasks when the script ends.
#   start_task NAME COMMAND ...    starts the command and returns
#   wait_tasks NAME ...            returns when these tasks have ended
#   wait_any NAME ...              returns when one of these tasks has ended
#   stop_tasks                     interrupts the running tasks and removes their files
# failed_tasks holds the names of the tasks that failed.

tasks_dir=$(mktemp -d "${TMPDIR:-/tmp}/cronium-tasks.XXXXXX")
failed_tasks=()
declare -A task_pids=()
declare -A task_starts=()

start_task() {
  local name=$1
  shift
  mkdir -p "$(dirname "$tasks_dir/$name")"
  # Job control gives each task its own process group. Without job control, bash makes background commands ignore SIGINT.
  set -m
  (
    status=0
    "$@" </dev/null >"$tasks_dir/$name.out" 2>&1 || status=$?
    echo "$status" >"$tasks_dir/$name.status"
  ) &
  task_pids[$name]=$!
  set +m
  task_starts[$name]=$SECONDS
}

is_running() { kill -0 "${task_pids[$1]}" 2>/dev/null; }

# The last percentage in the output: pytest prints its progress that way.
read_progress() { grep -o '\[ *[0-9]*%\]' "$tasks_dir/$1.out" 2>/dev/null | tail -n 1 | tr -d '[] ' || true; }

print_progress() {
  local name running=""
  for name in "${!task_pids[@]}"; do running+=" $name $(read_progress "$name")"; done
  say "after $SECONDS s, running:$running"
}

print_result() {
  local name=$1 status=1 result=passed
  wait "${task_pids[$name]}" 2>/dev/null || true
  [ ! -s "$tasks_dir/$name.status" ] || status=$(cat "$tasks_dir/$name.status")
  if [ "$status" != 0 ]; then
    result="FAILED with exit status $status"
    failed_tasks+=("$name")
  fi
  unset "task_pids[$name]"
  say "$name: $result after $((SECONDS - task_starts[$name])) s"
  cat "$tasks_dir/$name.out"
}

wait_tasks() { wait_until_left 0 "$@"; }

wait_any() { wait_until_left $(($# - 1)) "$@"; }

# wait_until_left COUNT NAME ...   returns when at most COUNT of these tasks are running
wait_until_left() {
  local name count=$1 running next_progress=$((SECONDS + 60))
  shift
  while :; do
    running=0
    for name in "${!task_pids[@]}"; do is_running "$name" || print_result "$name"; done # also one that nobody waits for
    for name in "$@"; do [ -z "${task_pids[$name]:-}" ] || running=$((running + 1)); done
    [ "$running" -gt "$count" ] || return 0
    if [ "$SECONDS" -ge "$next_progress" ]; then
      print_progress
      next_progress=$((SECONDS + 60))
    fi
    sleep 0.2
  done
}

# Repeats the failures at the end of the output: pytest's summary lines, else the last lines of the task.
print_failures() {
  local name
  for name in ${failed_tasks[@]+"${failed_tasks[@]}"}; do
    say "failures of $name:"
    grep -E '^(FAILED|ERROR) ' "$tasks_dir/$name.out" || tail -n 20 "$tasks_dir/$name.out"
  done
}

stop_tasks() {
  local name attempts=300
  for name in "${!task_pids[@]}"; do kill -INT -- "-${task_pids[$name]}" 2>/dev/null || true; done
  for name in "${!task_pids[@]}"; do
    while kill -0 -- "-${task_pids[$name]}" 2>/dev/null; do
      if [ "$attempts" -le 0 ]; then kill -KILL -- "-${task_pids[$name]}" 2>/dev/null || true; fi
      attempts=$((attempts - 1))
      sleep 0.2
    done
    print_result "$name"
  done
  rm -rf "$tasks_dir"
}
