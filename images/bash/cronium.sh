{ case $- in *v*) _cronium_v=-v ;; *) _cronium_v=+v ;; esac; set +v; } 2>/dev/null # hides this file from bash -v
# The runtime API for bash jobs: input, output, variables, condition and context of the run.
# Sourcing this file only defines functions. Outside a Cronium container a call prints an error and returns 1.
# Return values: 0 success, 1 local error, 4 refused by Cronium, 124 timeout.
# Needs bash, cat and sleep: HTTP uses bash's /dev/tcp, and JSON is passed on unparsed.
#
# Each public function runs in a subshell, so that its options, traps, socket and locale do not affect the job. It starts
# with _cronium_enter, so that the job's trace, options and functions do not affect it. Variables have the prefix _cr_,
# because a job may have made other names read-only.

# Prints this run's input as JSON.
cronium_input() (
  { _cronium_enter; } 2>/dev/null
  _cronium_call GET input
)

# Sets the run's output: cronium_output JSON, or JSON on standard input.
cronium_output() (
  { _cronium_enter; } 2>/dev/null
  if [ "$#" -eq 0 ]; then set -- "$(cat)"; fi
  _cronium_call POST output "$1" value >/dev/null
)

# Prints the context of this run as JSON, or one field of it; a string field without quotes.
cronium_context() (
  { _cronium_enter; } 2>/dev/null
  if [ "$#" -eq 0 ]; then
    _cronium_call GET context
  else
    _cronium_encode "$1"
    _cronium_call GET "context?field=$_cr_name" "" text
  fi
)

# The older name of cronium_context.
cronium_event() (
  { _cronium_enter; } 2>/dev/null
  cronium_context "$@"
)

# Prints the variable NAME (of this job) or shared/NAME (of all jobs) as JSON; null if it does not exist.
cronium_get_variable() (
  { _cronium_enter; } 2>/dev/null
  _cronium_check_count 1 "cronium_get_variable KEY" "$@" || exit
  _cronium_encode "$1"
  _cronium_call GET "variables/$_cr_name"
)

# Sets a variable to a JSON value; variables outlive the run.
cronium_set_variable() (
  { _cronium_enter; } 2>/dev/null
  _cronium_check_count 2 "cronium_set_variable KEY JSON" "$@" || exit
  _cronium_encode "$1"
  _cronium_call PUT "variables/$_cr_name" "$2" value >/dev/null
)

# Adds a number (default 1) atomically; prints the new number.
cronium_increment_variable() (
  { _cronium_enter; } 2>/dev/null
  _cronium_check_count 1 "cronium_increment_variable KEY [N]" "$@" || exit
  _cronium_encode "$1"
  _cronium_call POST "variables/$_cr_name/increment" "${2:-1}" value
)

# Sets the condition that follow-up rules read: true or false.
cronium_set_condition() (
  { _cronium_enter; } 2>/dev/null
  case ${1:-} in
    true | false) _cronium_call POST condition "{\"condition\": $1}" >/dev/null ;;
    *)
      _cronium_say "usage: cronium_set_condition true|false"
      exit 1
      ;;
  esac
)

# The caller redirects its standard error: a trace would show the token.
_cronium_enter() {
  set +xveuf +o posix
  trap - ERR DEBUG RETURN
  trap '' PIPE
  unset -f cat exec exit local printf read return set sleep trap
  shopt -u nocasematch expand_aliases
  IFS=$' \t\n' LC_ALL=C
}

_cronium_say() { printf 'cronium: %s\n' "$*" >&2; }

_cronium_check_count() {
  local _cr_count=$1 _cr_usage=$2
  shift 2
  [ "$#" -ge "$_cr_count" ] || { _cronium_say "usage: $_cr_usage"; return 1; }
}

# Percent-encodes each byte into _cr_name.
_cronium_encode() {
  local _cr_text=$1 _cr_i _cr_char _cr_hex
  _cr_name=""
  for ((_cr_i = 0; _cr_i < ${#_cr_text}; _cr_i++)); do
    _cr_char=${_cr_text:_cr_i:1}
    case $_cr_char in
      [A-Za-z0-9._~/-]) _cr_name+=$_cr_char ;;
      *)
        printf -v _cr_hex '%%%02X' "'$_cr_char"
        # Some versions print bytes above 127 as negative numbers: use the last two digits.
        _cr_name+="%${_cr_hex: -2}"
        ;;
    esac
  done
}

# _cronium_call METHOD PATH [BODY] [value|text]: prints the data of the response and exits the subshell.
_cronium_call() {
  _cr_method=$1 _cr_path=$2 _cr_body=${3:-} _cr_mode=${4:-}
  for _cr_name in CRONIUM_RUNTIME_API CRONIUM_EXECUTION_ID CRONIUM_EXECUTION_TOKEN; do
    [ -n "${!_cr_name}" ] || {
      [ "${CRONIUM_NETWORK-}" != none ] || {
        _cronium_say "this run has no network and so no runtime API: its job's network is 'none'."
        exit 1
      }
      _cronium_say "$_cr_name is not set: this call works only inside a Cronium container."
      exit 1
    }
  done
  if [ "${#_cr_body}" -gt 5242880 ]; then
    _cronium_say "the value is ${#_cr_body} bytes; 5242880 are allowed."
    exit 1
  fi
  _cr_address=${CRONIUM_RUNTIME_API#http://}
  _cr_address=${_cr_address%%/*}
  _cr_host=${_cr_address%%:*} _cr_port=${_cr_address##*:}
  [ "$_cr_port" != "$_cr_host" ] || _cr_port=80
  _cr_accept=application/json
  [ "$_cr_mode" != text ] || _cr_accept=text/plain
  _cronium_make_key
  # Retries a lost connection and a 5xx; the same Idempotency-Key makes a write count once.
  for _cr_pause in 1 2 4 8 16 last; do
    _cronium_send
    _cr_result=$?
    exec 3>&-
    [ "$_cr_result" -ge 200 ] || exit "$_cr_result"
    [ "$_cr_pause" != last ] || { _cronium_say "$_cr_problem"; exit "$((_cr_result - 200))"; }
    # 0.1 s, doubled each time, with a jitter of half.
    _cr_pause=$((_cr_pause * 50 + RANDOM % (_cr_pause * 100)))
    printf -v _cr_pause '%d.%03d' "$((_cr_pause / 1000))" "$((_cr_pause % 1000))"
    sleep "$_cr_pause"
  done
}

# Writes a unique key into _cr_key.
_cronium_make_key() {
  _cr_key=""
  { IFS= read -r _cr_key </proc/sys/kernel/random/uuid; } 2>/dev/null
  [ -n "$_cr_key" ] || _cr_key=$$-$BASHPID-$RANDOM$RANDOM$RANDOM$RANDOM
}

# One attempt. Returns the exit code, or exit code + 200 and the message in _cr_problem if a retry may help.
_cronium_send() {
  _cr_problem="can't be reached at $CRONIUM_RUNTIME_API."
  { exec 3<>"/dev/tcp/$_cr_host/$_cr_port"; } 2>/dev/null || return 201
  {
    printf '%s /executions/%s/%s HTTP/1.1\r\nHost: %s\r\n' "$_cr_method" "$CRONIUM_EXECUTION_ID" "$_cr_path" "$_cr_address"
    printf 'Authorization: Bearer %s\r\nConnection: close\r\n' "$CRONIUM_EXECUTION_TOKEN"
    printf 'Accept: %s\r\n' "$_cr_accept"
    [ "$_cr_mode" != value ] || printf 'X-Cronium-Body: value\r\n'
    if [ "$_cr_method" != GET ]; then
      printf 'Content-Type: application/json\r\nContent-Length: %s\r\n' "${#_cr_body}"
      printf 'Idempotency-Key: %s\r\n' "$_cr_key"
    fi
    printf '\r\n%s' "$_cr_body"
  } >&3 2>/dev/null
  _cronium_read
}

# Reads the response from descriptor 3.
_cronium_read() {
  # The sidecar waits 60 s for the replacement of a dead worker.
  IFS=' ' read -r -t 75 -u 3 _cr_version _cr_status _cr_reason
  local _cr_result=$?
  [ "$_cr_result" -le 128 ] || { _cronium_say "no answer within 75 s."; return 124; }
  _cr_problem="the connection was lost before the response."
  case $_cr_version/$_cr_status in
    HTTP/1.?/[1-5][0-9][0-9]) ;;
    *) return 201 ;;
  esac
  _cr_length="" _cr_type=""
  while IFS= read -r -t 30 -u 3 _cr_line; do
    _cr_line=${_cr_line%$'\r'}
    case $_cr_line in
      "") break ;;
      [Cc]ontent-[Ll]ength:*) _cr_length=${_cr_line#*: } ;;
      [Cc]ontent-[Tt]ype:*) _cr_type=${_cr_line#*: } ;;
    esac
  done
  # The dot keeps trailing newlines, which a command substitution removes.
  _cr_data=$(cat <&3; printf .)
  _cr_data=${_cr_data%.}
  _cr_problem="the connection was lost during the response."
  if [ -z "$_cr_length" ] || [ "${#_cr_data}" -lt "$_cr_length" ]; then return 201; fi
  # {"error": "CODE", "message": "..."}, printed as JSON.
  _cr_problem="status $_cr_status: $_cr_data"
  [ "$_cr_status" -lt 500 ] || return 204
  [ "$_cr_status" -lt 400 ] || { _cronium_say "$_cr_problem"; return 4; }
  if [ "${_cr_type%%;*}" = application/json ]; then
    case $_cr_data in
      '{"success": true, "data": '*) _cr_data=${_cr_data:26} _cr_data=${_cr_data:0:${#_cr_data}-1} ;;
      *) _cronium_say "the response is not from Cronium: ${_cr_data:0:200}"; return 1 ;;
    esac
  fi
  printf '%s\n' "$_cr_data"
}

{ eval "unset _cronium_v; set $_cronium_v"; } 2>/dev/null
