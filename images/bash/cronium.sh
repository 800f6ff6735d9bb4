# What a job can ask of Cronium: its input, its output, variables, its condition, facts about the run.
# Sourcing it defines functions and does nothing else, anywhere; a call outside a Cronium container says so and
# returns 1. Return values: 0 done, 1 an error of this side, 4 Cronium answered no, 124 it did not answer in time.
# It needs bash, cat and sleep: the HTTP goes over bash's own /dev/tcp, and JSON is passed on as it comes.

# This run's input, as JSON.
cronium_input() { _cronium_call GET input; }

# Set the run's output: cronium_output JSON, or JSON on standard input.
cronium_output() {
  if [ "$#" -eq 0 ]; then set -- "$(cat)"; fi
  _cronium_call POST output "$1" value >/dev/null
}

# Facts about this run and its job: all as JSON, or one field; a text field comes without quotes.
cronium_event() {
  if [ "$#" -eq 0 ]; then _cronium_call GET context; return; fi
  local _cronium_name
  _cronium_quote "$1"
  _cronium_call GET "context?field=$_cronium_name" "" text
}

# The value of NAME (this job's) or shared/NAME (all jobs') as JSON; null if there is no such variable.
cronium_get_variable() {
  local _cronium_name
  _cronium_need 1 "cronium_get_variable KEY" "$@" || return
  _cronium_quote "$1"
  _cronium_call GET "variables/$_cronium_name"
}

# Keep a value (JSON) that outlives the run.
cronium_set_variable() {
  local _cronium_name
  _cronium_need 2 "cronium_set_variable KEY JSON" "$@" || return
  _cronium_quote "$1"
  _cronium_call PUT "variables/$_cronium_name" "$2" value >/dev/null
}

# Add a number (1 if none is given) in one step at the server; prints the new number.
cronium_increment_variable() {
  local _cronium_name
  _cronium_need 1 "cronium_increment_variable KEY [N]" "$@" || return
  _cronium_quote "$1"
  _cronium_call POST "variables/$_cronium_name/increment" "${2:-1}" value
}

# Set the condition that follow-up rules read: true or false.
cronium_set_condition() {
  case ${1:-} in
    true | false) _cronium_call POST condition "{\"condition\": $1}" >/dev/null ;;
    *) _cronium_say "usage: cronium_set_condition true|false"; return 1 ;;
  esac
}

_cronium_say() { printf 'cronium: %s\n' "$*" >&2; }

_cronium_need() {
  local count=$1 usage=$2
  shift 2
  [ "$#" -ge "$count" ] || { _cronium_say "usage: $usage"; return 1; }
}

# Percent-encode byte by byte into _cronium_name.
_cronium_quote() {
  local LC_ALL=C text=$1 at char hex
  _cronium_name=""
  for ((at = 0; at < ${#text}; at++)); do
    char=${text:at:1}
    case $char in
      [A-Za-z0-9._~/-]) _cronium_name+=$char ;;
      *)
        printf -v hex '%%%02X' "'$char"
        # Bytes above 127 come out as negative numbers in some versions: keep the last two digits.
        _cronium_name+="%${hex: -2}"
        ;;
    esac
  done
}

# _cronium_call METHOD PATH [BODY] [value|text]: prints the answer's data. It runs in a subshell, so that nothing of
# it (the open socket, the locale, the ignored SIGPIPE) reaches the job.
_cronium_call() (
  LC_ALL=C
  trap '' PIPE
  set +eu
  method=$1 path=$2 body=${3:-} mode=${4:-}
  for name in CRONIUM_RUNTIME_API CRONIUM_EXECUTION_ID CRONIUM_EXECUTION_TOKEN; do
    [ -n "${!name}" ] || {
      [ "${CRONIUM_NETWORK-}" != none ] || {
        _cronium_say "this run has no network and so no runtime API: its job's network is 'none'."
        exit 1
      }
      _cronium_say "$name is not set: this call works only inside a Cronium container."
      exit 1
    }
  done
  if [ "${#body}" -gt 5242880 ]; then
    _cronium_say "the value is ${#body} bytes; 5242880 are allowed."
    exit 1
  fi
  place=${CRONIUM_RUNTIME_API#http://}
  place=${place%%/*}
  host=${place%%:*} port=${place##*:}
  [ "$port" != "$host" ] || port=80
  accept=application/json
  [ "$mode" != text ] || accept=text/plain
  _cronium_make_key
  # A lost connection or a 5xx is tried again; a write keeps its Idempotency-Key, so it counts once.
  for pause in 1 2 4 8 16 last; do
    _cronium_attempt
    result=$?
    exec 3>&-
    [ "$result" -ge 200 ] || exit "$result"
    [ "$pause" != last ] || { _cronium_say "$problem"; exit "$((result - 200))"; }
    # 0.1 s and then twice as long each time, give or take half of it by chance.
    pause=$((pause * 50 + RANDOM % (pause * 100)))
    printf -v pause '%d.%03d' "$((pause / 1000))" "$((pause % 1000))"
    sleep "$pause"
  done
)

# A word that no other call has, into `key`.
_cronium_make_key() {
  key=""
  { IFS= read -r key </proc/sys/kernel/random/uuid; } 2>/dev/null
  [ -n "$key" ] || key=$$-$BASHPID-$RANDOM$RANDOM$RANDOM$RANDOM
}

# One try. Returns what the call ends with, or that plus 200, with the words in `problem`, if another may do better.
_cronium_attempt() {
  problem="can't be reached at $CRONIUM_RUNTIME_API."
  { exec 3<>"/dev/tcp/$host/$port"; } 2>/dev/null || return 201
  {
    printf '%s /executions/%s/%s HTTP/1.1\r\nHost: %s\r\n' "$method" "$CRONIUM_EXECUTION_ID" "$path" "$place"
    printf 'Authorization: Bearer %s\r\nConnection: close\r\n' "$CRONIUM_EXECUTION_TOKEN"
    printf 'Accept: %s\r\n' "$accept"
    [ "$mode" != value ] || printf 'X-Cronium-Body: value\r\n'
    if [ "$method" != GET ]; then
      printf 'Content-Type: application/json\r\nContent-Length: %s\r\n' "${#body}"
      printf 'Idempotency-Key: %s\r\n' "$key"
    fi
    printf '\r\n%s' "$body"
  } >&3 2>/dev/null
  _cronium_answer
}

# Read the answer from descriptor 3; only ever called by _cronium_attempt.
_cronium_answer() {
  # The sidecar itself waits 60 s for a worker that takes another's place.
  IFS=' ' read -r -t 75 -u 3 version status reason
  local result=$?
  [ "$result" -le 128 ] || { _cronium_say "no answer within 75 s."; return 124; }
  problem="the connection was lost before an answer came."
  case $version/$status in
    HTTP/1.?/[1-5][0-9][0-9]) ;;
    *) return 201 ;;
  esac
  length="" type=""
  while IFS= read -r -t 30 -u 3 line; do
    line=${line%$'\r'}
    case $line in
      "") break ;;
      [Cc]ontent-[Ll]ength:*) length=${line#*: } ;;
      [Cc]ontent-[Tt]ype:*) type=${line#*: } ;;
    esac
  done
  # The mark at the end keeps newlines that a command substitution would drop.
  data=$(cat <&3; printf .)
  data=${data%.}
  problem="the connection was lost in the middle of the answer."
  if [ -z "$length" ] || [ "${#data}" -lt "$length" ]; then return 201; fi
  # {"error": "CODE", "message": "..."}: shown as it is, JSON is readable enough.
  problem="status $status: $data"
  [ "$status" -lt 500 ] || return 204
  [ "$status" -lt 400 ] || { _cronium_say "$problem"; return 4; }
  if [ "${type%%;*}" = application/json ]; then
    case $data in
      '{"success": true, "data": '*) data=${data:26} data=${data:0:${#data}-1} ;;
      *) _cronium_say "the answer is not Cronium's: ${data:0:200}"; return 1 ;;
    esac
  fi
  printf '%s\n' "$data"
}
