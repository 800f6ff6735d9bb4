"""Lines that set a variable, as cron reads them, and which of their names look like secrets."""

import re

_QUOTES = "'\""
_SECRET = re.compile(
    r"PASS(?:WORD|WD|PHRASE)?(?:_|$)|PWD$|TOKEN|SECRET|CREDENTIAL|(?:^|_)KEY$|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY",
    re.IGNORECASE,
)
_URL_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@", re.IGNORECASE)
_PUBLIC = frozenset({"PWD", "OLDPWD", "SSH_AUTH_SOCK"})


def parse_assignment(line: str) -> tuple[str, str] | None:
    """Name and value of `NAME = value`; None for any other line. Cron expands nothing in the value.

    Name and value may be in quotes. Spaces around the equals sign and at the end of a bare value do not count.
    """
    name, rest = _take_name(line.strip(" \t\v\f"))
    if not name or not rest.startswith("="):
        return None
    value = rest[1:].strip(" \t\v\f")
    if value and value[0] in _QUOTES:
        quote, inside = value[0], value[1:]
        end = inside.find(quote)
        if end < 0 or inside[end + 1 :].strip():
            return None
        return name, inside[:end]
    return name, value


def _take_name(line: str) -> tuple[str, str]:
    if line[:1] and line[0] in _QUOTES:
        end = line.find(line[0], 1)
        name, rest = (line[1:end], line[end + 1 :]) if end > 0 else ("", "")
        return ("", "") if "=" in name else (name, rest.lstrip())
    match = re.match(r"([^\s=]+)\s*(?==)", line)
    return (match[1], line[match.end() :]) if match else ("", "")


def is_secret(name: str, value: str) -> bool:
    if name in _PUBLIC or not value:
        return False
    return bool(_SECRET.search(name) or _URL_WITH_PASSWORD.search(value))


def has_password(command: str) -> bool:
    """Whether a command seems to contain a password: in a URL, an option or an assignment."""
    if _URL_WITH_PASSWORD.search(command):
        return True
    for name, value in re.findall(r"(?:^|[\s;&|(-])([A-Za-z_][\w-]*)=([^\s;&|]+)", command):
        if _SECRET.search(name.replace("-", "_")) and not value.startswith(("$", '"$')):
            return True
    option = r"(?:--?(?:password|passwd|token|secret|api-key)[ =]|\bcurl\b[^|;]* (?:-u|--user) ?\S+:)(?!\"?\$)"
    return bool(re.search(rf"{option}|\bmysql\w*\b[^|;]* -p(?![\s$\"])\S", command, re.IGNORECASE))
