"""What a command needs of its host that a sandbox does not have."""

import re
from collections.abc import Iterator

from cron_rules.crontab.environment import has_password

_FOLDERS = "usr/local|usr/share|usr/lib|opt|home|root|srv|etc|var|mnt|media|run|data|backups?|boot|proc|sys"
_PATH = re.compile(rf"(?<![\w$}}/.>-])(?<!> )/(?:{_FOLDERS})(?:/[^\s;|&'\"()<>]*)?(?![\w-])")
_WRITTEN = re.compile(r"(?:^|[^0-9&<])[12&]?>>?\s*((?!/dev/|&)[^\s;|&'\"()<>]+)")
_NOWHERE = re.compile(r"(?:^|[\s1&])>\s*/dev/null")
_NETWORK = (
    *("curl", "wget", "ssh", "scp", "sftp", "rsync", "mysql", "mysqldump", "psql", "pg_dump", "pg_dumpall", "git"),
    *("mongodump", "redis-cli", "aws", "gsutil", "s3cmd", "rclone", "ping", "ntpdate", "ftp", "lftp", "fetchmail"),
)
_HOST = (
    *("sudo", "su", "systemctl", "service", "docker", "podman", "mount", "umount", "shutdown", "reboot", "apt-get"),
    *("apt", "yum", "dnf", "logrotate", "anacron", "run-parts", "certbot", "crontab", "invoke-rc.d", "renice", "kill"),
    *("killall", "pkill", "iptables", "nft", "chown", "useradd", "freshclam", "updatedb", "fstrim", "mdadm", "zpool"),
)
_MAIL = ("mail", "mailx", "sendmail", "mutt", "msmtp")


def list_host_notes(command: str) -> Iterator[tuple[str, str]]:
    """Pairs of reason and advice."""
    programs = _find_programs(command)
    if paths := list(dict.fromkeys(_PATH.findall(command))):
        advice = "Put the program into the job's script or into a custom image, and pass data as input."
        yield f"The sandbox has no files of the host, such as {_join(paths)}.", advice
    if re.search(r"(?:^|[\s=:'\"])~/|\$\{?HOME\b", command):
        yield "The sandbox has no files of the home folder.", "Put them into the job's script or into a custom image."
    if written := list(dict.fromkeys(_WRITTEN.findall(command))):
        advice = "Remove the redirection: Cronium keeps the output as the log of the run."
        yield f"It writes to {_join(written)}, which is removed with the sandbox.", advice
    if _NOWHERE.search(command):
        yield "It discards its output, so the logs of its runs are empty.", "Remove the redirection to see the output."
    if named := [name for name in _NETWORK if name in programs]:
        advice = "Choose the network egress and list the hosts that it connects to."
        yield f"It may need a network ({_join(named)}), and the job gets the network isolated.", advice
    if named := [name for name in _HOST if name in programs]:
        advice = "Keep it in the host's crontab if it maintains the host."
        yield f"A sandbox can't act on its host ({_join(named)}).", advice
    if named := [name for name in _MAIL if name in programs]:
        yield f"The sandbox sends no mail ({_join(named)}).", "Write to the output, which Cronium keeps as the log."
    if has_password(command):
        advice = "Store it as a secret of Cronium, and use its variable in the script."
        yield "The command seems to contain a password, which everyone who sees the job can read.", advice


def _find_programs(command: str) -> set[str]:
    words = re.findall(r"(?:^|[\s;|&(`])([\w./+-]+)", command)
    return {word.rpartition("/")[2] for word in words}


def _join(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(name[:80] for name in names[:3]) + more
