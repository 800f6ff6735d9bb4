"""Names of environment variables: a name that a shell sets or refuses never reaches a script, so no job may use it."""

import shutil
import subprocess

import pytest

from cronium_admin.core.env_names import find_env_name_problem

VALUES = ("text", "7")
# The variables that a shell sets, and those that its manual names as set, read or unset by it.
OWN = (
    subprocess.run(["bash", "--norc", "-c", "compgen -v"], capture_output=True, text=True, check=True, env={})
    .stdout.split()
)  # fmt: skip
OTHERS = ("OPTARG", "PS1", "PS2", "PS3", "OLDPWD", "HISTCMD", "SRANDOM", "TMOUT", "COLUMNS", "REPLY", "TERM", "USER")
LOST_TO_ROOT = {"PS4"}
USUAL = ("API_URL", "TZ", "LANG", "LC_ALL", "TERM", "USER", "PS4", "TMPDIR", "REPLY", "PYTHONPATH", "p", "_X")


def arrives(shell: str, name: str, value: str) -> bool:
    """Whether a script receives the variable unchanged: the payload's shell exports it, then becomes bash."""
    program = (
        f'unset p; export {name}={value}; exec bash --norc -c \'printf %s "${{{name}-}}"; printf " "; printenv {name}\''
    )
    done = subprocess.run([shell, "-c", program], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == f"{value} {value}"


@pytest.mark.parametrize("shell", [shell for shell in ("sh", "bash") if shutil.which(shell)])
def test_a_variable_that_does_not_arrive_is_refused(shell: str) -> None:
    lost = {name for name in {*OWN, *OTHERS} for value in VALUES if not arrives(shell, name, value)}
    assert {"PPID", "RANDOM", "OPTIND", "SHLVL", "PS1"} <= lost
    assert {name for name in lost - LOST_TO_ROOT if find_env_name_problem(name) is None} == set()


@pytest.mark.parametrize("name", USUAL)
def test_a_usual_name_is_allowed(name: str) -> None:
    assert find_env_name_problem(name) is None


def test_what_takes_the_helpers_away_is_refused() -> None:
    assert "reserved" in (find_env_name_problem("POSIXLY_CORRECT") or "")
