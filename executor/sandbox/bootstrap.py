"""The command of a job's container: it reads the payload from standard input and executes it only if it is complete."""

NOT_RECEIVED = 125  # the exit code when the payload is incomplete
END_MARK = "#cronium-payload-is-whole"
NOT_RECEIVED_MESSAGE = "cronium: the script did not arrive, so nothing was run"
BOOTSTRAP = (
    f'p=$(cat); case $p in *"{END_MARK}") eval "$p";; esac; echo "{NOT_RECEIVED_MESSAGE}" >&2; exit {NOT_RECEIVED}'
)
