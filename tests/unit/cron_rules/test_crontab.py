"""Crontabs as people have them: entries, percent signs, variables, user columns, and what can't be carried over."""

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cron_rules.crontab.command import build_script, split_command, suggest_name
from cron_rules.crontab.entries import Crontab, Entry
from cron_rules.crontab.environment import has_password, is_secret, parse_assignment
from cron_rules.crontab.parse import MAX_ENTRIES, parse_crontab

DEBIAN = """\
# /etc/crontab: system-wide crontab
# Unlike any other crontab you don't have to run the `crontab'
# command to install the new version when you edit this file
# and files in /etc/cron.d. These files also have username fields,
# that none of the other crontabs do.

SHELL=/bin/sh
# You can also override PATH, but by default, newer versions inherit it from the environment
#PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# Example of job definition:
# .---------------- minute (0 - 59)
# |  .------------- hour (0 - 23)
# |  |  .---------- day of month (1 - 31)
# |  |  |  .------- month (1 - 12) OR jan,feb,mar,apr ...
# |  |  |  |  .---- day of week (0 - 6) (Sunday=0 or 7) OR sun,mon,tue,wed,thu,fri,sat
# |  |  |  |  |
# *  *  *  *  * user-name command to be executed
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6\t* * 7\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
52 6\t1 * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }
#
"""


def read_one(text: str) -> Entry:
    crontab = parse_crontab(text)
    assert len(crontab.entries) == 1, crontab.remarks
    return crontab.entries[0]


def list_reasons(crontab: Crontab, line: int) -> str:
    return " ".join(remark.reason for remark in crontab.remarks if remark.line == line)


def test_debians_etc_crontab() -> None:
    crontab = parse_crontab(DEBIAN)
    assert crontab.has_users
    assert [(entry.line, entry.rule, entry.user) for entry in crontab.entries] == [
        (19, "17 * * * *", "root"),
        (20, "25 6 * * *", "root"),
        (21, "47 6 * * 7", "root"),
        (22, "52 6 1 * *", "root"),
    ]
    assert crontab.entries[1].command == "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }"
    assert not any(entry.is_commented or entry.comments for entry in crontab.entries)
    assert [suggest_name(entry.command) for entry in crontab.entries] == [
        f"run-parts cron.{period}" for period in ("hourly", "daily", "weekly", "monthly")
    ]
    assert "run-parts" in list_reasons(crontab, 19)
    assert "as the user root" in list_reasons(crontab, 19)


@pytest.mark.parametrize(
    ("text", "command", "stdin"),
    [
        ("true", "true", None),
        (r"date +\%F", "date +%F", None),
        ("mail bob%Joe,%%Where are your kids?%", "mail bob", "Joe,\n\nWhere are your kids?\n"),
        ("cat%", "cat", ""),
        ("cat%a", "cat", "a\n"),
        (r"cat%a\%b%c\d", "cat", "a%b\nc\\d\n"),
        (r"echo \\%x", r"echo \\", "x\n"),
        (r"cat%x\\%y", "cat", "x\\%y\n"),
        (r"cat%end" + "\\", "cat", "end\\\n"),
        (r"echo \a", r"echo \a", None),
    ],
)
def test_percent_signs(text: str, command: str, stdin: str | None) -> None:
    assert split_command(text) == (command, stdin)
    entry = read_one(f"* * * * * {text}")
    assert (entry.command, entry.stdin) == (command, stdin)


@pytest.mark.parametrize("stdin", ["", "a\n", "INPUT\nINPUT_\n", "$HOME `x` \\\n\n", None])
def test_the_script_gets_the_standard_input(stdin: str | None) -> None:
    script = build_script("cat; echo done", stdin, ["it's a comment"], None)
    ran = subprocess.run(["bash", "-c", script], input="other", capture_output=True, text=True, check=True)
    assert ran.stdout == ("other" if stdin is None else stdin) + "done\n"


def test_the_folders_of_the_path_come_first() -> None:
    script = build_script('echo "$PATH"', None, [], "/usr/bin:/opt/my tools:/bin")
    bash = shutil.which("bash") or "bash"
    ran = subprocess.run([bash, "-c", script], env={"PATH": "/image"}, capture_output=True, text=True, check=True)
    assert ran.stdout == "/opt/my tools:/image\n"
    assert "PATH" not in build_script("true", None, [], "/usr/local/bin:/bin")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("A=b", ("A", "b")),
        ("A = b c ", ("A", "b c")),
        ("A=' b '", ("A", " b ")),
        ('"A"="b"', ("A", "b")),
        ("A=", ("A", "")),
        ('MAILTO=""', ("MAILTO", "")),
        ("A=b # no comment", ("A", "b # no comment")),
        ("A=$B:/x", ("A", "$B:/x")),
        ("A='b' c", None),
        ("A='b", None),
        ("'A=b", None),
        ("=b", None),
        ("A b=c", None),
        ("0 5 * * * X=1 run", None),
        ("@daily X=1 run", None),
    ],
)
def test_assignments(line: str, found: tuple[str, str] | None) -> None:
    assert parse_assignment(line) == found


def test_variables_apply_to_the_lines_after_them() -> None:
    crontab = parse_crontab(
        "0 1 * * * a\nCOLOUR=red\nCRON_TZ=Europe/Berlin\nRANDOM_DELAY=45\n0 2 * * * b\nCOLOUR='dark red'\n"
        "CRON_TZ=Mars/Base\nRANDOM_DELAY=soon\nPATH=/opt/bin:/bin\nHOME=/x\nMAILTO=ops@example.com\nSHELL=/bin/zsh\n"
        "TZ=Asia/Tokyo\n0 3 * * * c\n"
    )
    first, second, third = crontab.entries
    assert (first.env, first.zone, first.delay_seconds, first.path) == ({}, "", 0, None)
    assert (second.env, second.zone, second.delay_seconds) == ({"COLOUR": "red"}, "Europe/Berlin", 2700)
    assert third.env == {"COLOUR": "dark red", "TZ": "Asia/Tokyo"}
    assert (third.zone, third.delay_seconds, third.path) == ("", 0, "/opt/bin:/bin")
    for line, words in (
        *((3, "cronie"), (4, "up to 45 minutes"), (7, "Mars/Base"), (8, "not a number"), (9, "PATH"), (10, "HOME")),
        *((11, "ops@example.com"), (12, "bash"), (13, "commands, not of cron")),
    ):
        assert words in list_reasons(crontab, line), line


def test_comments_and_lines_that_are_commented_out() -> None:
    crontab = parse_crontab(
        "# Nightly backup\n# of the shop\n0 2 * * * backup.sh\n\n# Notes\n\n#0 5 * * 1 tar -zcf /var/b.tgz /home/\n"
        "#  @daily clean.sh\n# 5 people read this\n# at 5 a.m every week with:\n0 4 * * * d\n"
    )
    assert [(entry.line, entry.is_commented, entry.comments) for entry in crontab.entries] == [
        (3, False, ("Nightly backup", "of the shop")),
        (7, True, ()),
        (8, True, ()),
        (11, False, ("5 people read this", "at 5 a.m every week with:")),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 5 * *", "five fields and a command"),
        ("0 5 * * *", "five fields and a command"),
        ("61 5 * * * x", "'61' as minute"),
        ("0 5 * * mon-xyz x", "'xyz' as day of week"),
        ("0 0 * * fri-mon x", "reversed"),
        ("*/0 * * * * x", "step"),
        ("0 0 30 2 * x", "never matches"),
        ("0 30 2 * * * x", "'30' as hour"),
        ("0 2 * * * * x", "begins with *"),
        ("@Daily x", "cron does not know @Daily"),
        ("@every 5m x", "cron does not know @every"),
        ("@600 x", "counts the seconds from the end"),
        ("1 5 cron.daily nice run-parts --report /etc/cron.daily", "anacrontab"),
        ("@monthly 45 cron.monthly nice run-parts /etc/cron.monthly", "anacrontab"),
        ("0 5 * * * %input", "no command"),
        ("0 5 * * * a\0b", "'\\x00'"),
        ("0 5 * * * \ud800", "'\\ud800'"),
    ],
)
def test_lines_that_cannot_be_carried_over(text: str, words: str) -> None:
    crontab = parse_crontab(f"# first\n{text}\n0 1 * * * good\n")
    assert [entry.command for entry in crontab.entries] == ["good"]
    assert words in list_reasons(crontab, 2)


@pytest.mark.parametrize(
    ("text", "rule", "words"),
    [
        ("-*/15 * * * * x", "*/15 * * * *", "keeps cronie from logging"),
        ("0~30 3 * * * x", "H(0-30) 3 * * *", "random"),
        ("~ ~ * * * x", "H H * * *", "random"),
        ("0 0 * * 5-0 x", "0 0 * * 5-7", ""),
        ("5/15 * * * * x", "5/15 * * * *", "ignores a step"),
        ("0 0 L * * x", "0 0 L * *", "cron never runs this line"),
        ("@reboot x", "@reboot", "when the host starts"),
        ("@midnight x", "@midnight", ""),
        ("@every_minute x", "* * * * *", ""),
        ("0 4 * * * -n x", "0 4 * * *", "after a failure"),
        ("0 4 * * * long \\", "0 4 * * *", "does not join lines"),
        ("0 4 * * * curl -s https://example.com", "0 4 * * *", "network (curl)"),
        ("0 4 * * * sudo systemctl restart x", "0 4 * * *", "sudo, systemctl"),
        ("0 4 * * * x | mail -s y z", "0 4 * * *", "sends no mail"),
        ("0 4 * * * x >> /var/log/x.log 2>&1", "0 4 * * *", "writes to /var/log/x.log"),
        ("0 4 * * * x >/dev/null 2>&1", "0 4 * * *", "discards its output"),
        ("0 4 * * * ~/bin/x", "0 4 * * *", "home folder"),
        ("0 4 * * * /usr/local/bin/x /srv/data", "0 4 * * *", "such as /usr/local/bin/x, /srv/data"),
        ("0 4 * * * mysqldump -phunter2 shop", "0 4 * * *", "a password"),
    ],
)
def test_what_is_carried_over_with_a_remark(text: str, rule: str, words: str) -> None:
    crontab = parse_crontab(text)
    assert [entry.rule for entry in crontab.entries] == [rule]
    assert words in list_reasons(crontab, 1)
    assert words or not crontab.remarks


@pytest.mark.parametrize(
    "text", ["\ufeff0 1 * * * a\r\n0 2 * * * b\r\n", "0 1 * * * a\r0 2 * * * b", "  0 1 * * * a\n\t0 2 * * *  b"]
)
def test_line_ends_and_blanks(text: str) -> None:
    assert [entry.command for entry in parse_crontab(text).entries] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "has_users"),
    [
        ("0 1 * * * root a\n0 2 * * * web b\n", True),
        ("0 1 * * * tar cf x\n0 2 * * * rm y\n", False),
        ("0 1 * * * root a\n0 2 * * * /bin/b c\n", False),
        ("0 1 * * * root\n", False),
        ("", False),
    ],
)
def test_the_user_column_is_detected(text: str, has_users: bool) -> None:
    assert parse_crontab(text).has_users == has_users


def test_the_user_column_is_chosen() -> None:
    text = "0 1 * * * deploy run --all\n0 2 * * * deploy\n"
    crontab = parse_crontab(text, "system")
    assert [(entry.user, entry.command) for entry in crontab.entries] == [("deploy", "run --all")]
    assert "no user name" in list_reasons(crontab, 2)
    assert [entry.command for entry in parse_crontab(text, "user").entries] == ["deploy run --all", "deploy"]


def test_a_long_file_ends_with_a_remark() -> None:
    crontab = parse_crontab("0 1 * * * a\n" * (MAX_ENTRIES + 1))
    assert len(crontab.entries) == MAX_ENTRIES
    assert "at most" in list_reasons(crontab, MAX_ENTRIES + 1)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/local/bin/backup.sh --full >> /var/log/b.log 2>&1", "backup.sh"),
        ("cd /srv/app && ./manage.py clearsessions", "manage.py"),
        ("flock -n /tmp/x.lock /usr/bin/python3 /opt/app/sync.py", "sync.py"),
        ("[ -x /usr/bin/certbot ] && certbot -q renew", "certbot renew"),
        ("nice -n 19 tar cf /b.tgz /home", "tar"),
        ("FOO=1 bash -c 'echo hi'", "echo"),
        ("sleep 30; /opt/a/start", "start"),
        ("timeout 5m python3 -m report.daily", "report.daily"),
        ("$(evil)", "evil"),
        ("; ; ;", "; ; ;"),
    ],
)
def test_names_of_commands(command: str, name: str) -> None:
    assert suggest_name(command) == name


def test_secrets_are_recognized() -> None:
    for name in ("DB_PASSWORD", "PGPASSWORD", "API_TOKEN", "AWS_SECRET_ACCESS_KEY", "apikey", "MYSQL_PWD", "KEY"):
        assert is_secret(name, "x"), name
    for name in ("KEYBOARD", "MONKEY", "HOME", "PASSAGE", "PWD"):
        assert not is_secret(name, "x"), name
    assert is_secret("DATABASE_URL", "postgres://shop:hunter2@db/shop")
    assert not is_secret("DATABASE_URL", "postgres://db/shop")
    assert has_password("curl -u bob:hunter2 https://x")
    assert has_password("run --password=hunter2")
    assert not has_password('run --password="$PASSWORD"')
    assert not has_password("mysqldump -u shop shop")


ODD = st.text(st.sampled_from("0159*/-,~@#%\\'\"= \t\n\rahHLW?+.<>|&$\0\ud800\u2028é:"), max_size=60)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(ODD, st.text(max_size=30)), max_size=6), st.sampled_from(["auto", "user", "system"]))
def test_any_text_is_read(parts: list[str], file_format: str) -> None:
    prefixes = ("", "* * * * * ", "@daily ", "A=", "# ")
    text = "\n".join(prefixes[index % len(prefixes)] + part for index, part in enumerate(parts))
    crontab = parse_crontab(text, file_format)  # type: ignore[arg-type]
    for entry in crontab.entries:
        build_script(entry.command, entry.stdin, entry.comments, entry.path)
        assert suggest_name(entry.command)
