"""Secrets are masked in every encoding, at any block boundaries, and nothing else is changed."""

import base64
import html
import json
import quopri
import random
import re
import shlex
import subprocess
import time
from typing import Any
from urllib.parse import quote, quote_plus
from xml.etree import ElementTree
from xml.sax import saxutils

import pytest

from executor.output.encodings import can_mask
from executor.output.masking import HIDDEN, Masker
from executor.output.stream import MAX_LINE_BYTES, TAIL_SHOWN_BYTES, LineAssembler
from executor.run import payload
from executor.run.slot import Slot
from executor.sandbox.subnets import SubnetPool
from executor.spec import MB
from tests.fakes.specs import make_spec

ODD = 'p@ss/w+rd?~é "quo\'te" \\ <&> 100%'
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq/+hkiG9w0B\nAQEFAASCBKcwggSj\n}\n-----END KEY-----\n"
VALUES = {"plain": "hunter2-correct-horse", "short": "abcd", "odd": ODD, "umlauts": "schlüsselwörter", "lines": PEM}


def lower(text: str) -> str:
    """Percent escapes in lower case."""
    parts = text.split("%")
    return parts[0] + "".join("%" + part[:2].lower() + part[2:] for part in parts[1:])


def ansi_c(value: str) -> bytes:
    """As bash writes it."""
    done = subprocess.run(["bash", "-c", 'printf "%q" "$1"', "-", value], env={"LC_ALL": "C"}, capture_output=True)
    return done.stdout


def element(value: str) -> ElementTree.Element:
    made = ElementTree.Element("a")
    made.text = value
    return made


def disguised(value: str) -> dict[str, bytes]:
    """The encodings in which tools print a value; each must be masked, except for characters that other bytes decide
    too."""
    plain = value.encode()
    found = {
        "raw": plain,
        "base64": base64.b64encode(plain),
        "base64 in lines": base64.encodebytes(plain),
        "base64, urlsafe": base64.urlsafe_b64encode(plain),
        "base64 after one": base64.b64encode(b"x" + plain + b"y"),
        "base64 after two": base64.b64encode(b"xy" + plain + b"z"),
        "base64, urlsafe, after two": base64.urlsafe_b64encode(b"xy" + plain),
        "base64 in a header": base64.b64encode(b"user:" + plain),
        "url": quote(value).encode(),
        "url, all": quote(value, safe="").encode(),
        "url, small letters": lower(quote(value, safe="")).encode(),
        "form": quote_plus(value).encode(),
        "encodeURIComponent": quote(value, safe="!'()*").encode(),
        "json": json.dumps(value).encode(),
        "json, unicode": json.dumps(value, ensure_ascii=False).encode(),
        "json, slashes": json.dumps(value).replace("/", "\\/").encode(),
        "json, html": json.dumps(value)
        .replace("<", "\\u003c")
        .replace("&", "\\u0026")
        .replace(">", "\\u003e")
        .encode(),
        "json in json": json.dumps(json.dumps({"a": value})).encode(),
        "repr": repr(value).encode(),
        "bytes": repr(plain).encode(),
        "shell": shlex.quote(value).encode(),
        "double quotes": ('"' + "".join("\\" + c if c in '\\"$`' else c for c in value) + '"').encode(),
        "bash, not UTF-8": ansi_c(value),
        "html, python": html.escape(value).encode(),
        "html, text": html.escape(value, quote=False).encode(),
        "html, twice": html.escape(html.escape(value)).encode(),
        "html, php": html.escape(value).replace("&#x27;", "&#039;").encode(),
        "html, go": html.escape(value)
        .replace("&#x27;", "&#39;")
        .replace("&quot;", "&#34;")
        .replace("+", "&#43;")
        .encode(),
        "html, handlebars": html.escape(value).replace("=", "&#x3D;").replace("`", "&#x60;").encode(),
        "html, mustache": html.escape(value)
        .replace("&#x27;", "&#39;")
        .replace("=", "&#x3D;")
        .replace("/", "&#x2F;")
        .encode(),
        "html, ascii": html.escape(value).encode("ascii", "xmlcharrefreplace"),
        "html, numbers": "".join(f"&#{ord(c)};" if c in "<>&'\"" else c for c in value).encode(),
        "xml, text": saxutils.escape(value).encode(),
        "xml, attribute": saxutils.escape(value, {"'": "&apos;", '"': "&quot;"}).encode(),
        "xml, quoteattr": saxutils.quoteattr(value)[1:-1].encode()
        if "\n" not in value
        else saxutils.escape(value).encode(),
        "xml, tree": ElementTree.tostring(element(value), "us-ascii")[3:-4],
        "hex": plain.hex().encode(),
        "hex, capitals": plain.hex().upper().encode(),
        "sql": value.replace("'", "''").encode(),
        "csv": value.replace('"', '""').encode(),
        "regular expression": re.escape(value).encode(),
        "url, twice": quote(quote(value, safe=""), safe="").encode(),
        "quoted-printable": b"".join(
            quopri.encodestring(value[at : at + 20].encode()) for at in range(0, len(value), 20)
        ).replace(b"=\n", b""),
        "single quotes in double": value.replace("'", "'\"'\"'").encode(),
        "trace": ("'" + value.replace("'", "'\\''") + "'").encode(),
    }
    return found


def windows(value: bytes, size: int = 6) -> set[bytes]:
    """All parts of `size` bytes of every line."""
    return {line[at : at + size] for line in value.split(b"\n") for at in range(max(1, len(line) - size + 1))}


@pytest.mark.parametrize("kind", list(disguised("x")))
@pytest.mark.parametrize("name", VALUES)
def test_each_disguise_of_each_value_goes(name: str, kind: str) -> None:
    value = VALUES[name]
    form = disguised(value)[kind]
    masked = Masker([value]).mask(b"before " + form + b" after\n")
    assert masked.startswith(b"before ")
    assert masked.endswith(b" after\n")
    assert HIDDEN in masked
    assert masked.count(b"\n") == form.count(b"\n") + 1
    inner = masked.removeprefix(b"before ").removesuffix(b" after\n")
    assert form not in masked
    if name != "lines" and "base64" not in kind:
        assert inner.strip(b"$\"'b\\").replace(b'{\\"a\\": \\"***', b"***").strip(b'"\\}') == HIDDEN
    # At most the ends are left, whose characters also hold bits of other bytes.
    left = max((len(part) for line in inner.split(b"\n") for part in line.split(HIDDEN)), default=0)
    assert left < 12 if "base64" in kind else left < 24, inner
    assert not any(part in inner for part in windows(value.strip().split("\n")[0].encode(), 8) if len(part) == 8)


def test_text_without_secrets_stays_as_it_is() -> None:
    masker = Masker(VALUES.values())
    rng = random.Random(1)
    text = bytes(rng.choices(b"ghijklmnop \n\x00\xff", k=20_000))
    assert masker.mask(text) is text
    assert Masker().mask(b"abcd") == b"abcd"
    assert not Masker()


@pytest.mark.parametrize("value", ["", "abc", " ab\n", "a\nb\nc", "   ", "é"])
def test_short_values_are_left_alone(value: str) -> None:
    assert not can_mask(value)
    text = f"{value} is {value}".encode()
    assert Masker([value]).mask(text) == text


def test_one_value_within_another_and_over_another() -> None:
    masker = Masker(["abcdef", "defghi", "bcde"])
    assert masker.mask(b"-abcdefghi-bcde-defghi") == b"-***-***-***"
    assert Masker(["aaaa"]).mask(b"baaaaaab aaaa") == b"b***b ***"
    assert Masker(["abcd"]).mask(b"abcdabcd") == b"******"


def test_bytes_around_it_may_be_anything() -> None:
    masker = Masker(["s3cr€t"])
    assert masker.mask(b"\xff\x00" + "s3cr€t".encode() + b"\xfe\xe2\x82") == b"\xff\x00***\xfe\xe2\x82"


# Borders.


def assembled(masker: Masker, *blocks: bytes, limit: int = 50 * MB) -> tuple[bytes, list[bytes]]:
    """The stored text, and all partial lines that were shown meanwhile."""
    lines, text, tails = LineAssembler(limit, masker), b"", []
    for block in blocks:
        lines.feed(1, block, 0)
        batch = lines.take_batch()
        text += b"".join(part.text for part in batch.segments)
        tails.append(batch.stdout_tail)
    lines.end_lines(0)
    return text + b"".join(part.text for part in lines.take_batch().segments), tails


SMALL = b"say s3cret-one,\nno newline s3cret-oneczNjcmV0LW9uZQ== s3c and s%2Fone\nat the end s3cret-one"


def test_every_split_of_a_small_stream_gives_the_same_text_and_shows_no_part() -> None:
    masker = Masker(["s3cret-one", "s/one"])
    whole, _ = assembled(masker, SMALL)
    assert whole.count(HIDDEN) == 5
    assert b"s3c and" in whole
    for first in range(len(SMALL) + 1):
        for second in range(first, len(SMALL) + 1, 3):
            text, tails = assembled(masker, SMALL[:first], SMALL[first:second], SMALL[second:])
            assert text == whole
            for tail in tails:
                assert b"s3cr" not in tail
                assert b"czNj" not in tail


def test_byte_by_byte_no_tail_ends_with_what_a_secret_begins_with() -> None:
    masker = Masker(["s3cret-one"])
    _, tails = assembled(masker, *(bytes([byte]) for byte in b"a s3cret-one b s3c d\n"))
    assert tails[:12] == [b"a", b"a ", *[b"a "] * 9, b"a ***"]
    assert tails[-3:] == [b"a *** b s3c ", b"a *** b s3c d", b""]


def test_a_secret_that_never_ends_is_not_kept_either() -> None:
    masker = Masker(["s3cret-one"])
    assert assembled(masker, b"x s3cret-o")[0] == b"x ***\n"
    assert assembled(masker, b"x s3c")[0] == b"x s3c\n"  # too short for a statement
    assert assembled(masker, b"1234 s3cret-one", limit=13)[0] == b"1234 ***\n"


def test_counts_are_of_what_was_read() -> None:
    lines = LineAssembler(MB, Masker(["s3cret-one"]))
    lines.feed(1, b"s3cret-one\ns3cret-one\nta", 5)
    batch = lines.take_batch()
    assert [(part.lines, part.text) for part in batch.segments] == [(2, b"***\n***\n")]
    assert (batch.stdout.lines, batch.stdout.bytes, lines.total_bytes) == (2, 22, 24)


@pytest.mark.parametrize("offset", [-10, -9, -5, -1, 0, 1])
@pytest.mark.parametrize("block", [7 * 1024, 256 * 1024, 3 * MB])
def test_a_secret_across_the_border_of_a_long_line(offset: int, block: int) -> None:
    secret = b"s3cret-one"
    line = b"x" * (MAX_LINE_BYTES + offset) + secret + b"y" * MAX_LINE_BYTES + secret + b"\n"
    text, tails = assembled(Masker([secret.decode()]), *(line[at : at + block] for at in range(0, len(line), block)))
    assert text.replace(b"\n", b"").replace(HIDDEN * 2, HIDDEN) in (
        line.replace(secret, HIDDEN).replace(b"\n", b""),
        b"x" * (MAX_LINE_BYTES + offset) + HIDDEN + b"y" * MAX_LINE_BYTES + HIDDEN,
    )
    for part in windows(secret, 3):
        assert part not in text
        assert not any(part in tail for tail in tails)
    assert max(map(len, tails)) <= TAIL_SHOWN_BYTES


def test_the_shown_end_of_a_long_tail_holds_no_part() -> None:
    masker = Masker(["s3cret-one"])
    for gap in range(-12, 3):
        _, tails = assembled(masker, b"x" * 50 + b"s3cret-one" + b"y" * (TAIL_SHOWN_BYTES + gap))
        assert not any(part in tails[0] for part in windows(b"s3cret-one", 2))
        assert len(tails[0]) <= TAIL_SHOWN_BYTES + len(HIDDEN)


def test_both_streams_are_apart() -> None:
    lines = LineAssembler(MB, Masker(["s3cret-one"]))
    for stream, block in ((1, b"s3cre"), (2, b"s3"), (1, b"t-one\n"), (2, b"x\n")):
        lines.feed(stream, block, 0)
    assert [part.text for part in lines.take_batch().segments] == [b"***\n", b"s3x\n"]


def test_it_is_fast_and_does_nothing_a_line() -> None:
    """Five secrets and ten blocks of 256 KiB: the limit is generous for a busy machine, and too small for work per
    line."""
    masker = Masker([f"{number}-{random.Random(number).getrandbits(160):040x}" for number in range(5)])
    block = b"".join(b"line %d of a log that holds no secret at all\n" % number for number in range(6000))
    began = time.process_time()
    for _ in range(10):
        assert masker.mask(block) is block
    assert time.process_time() - began < 1.0


def test_many_large_secrets_hold_no_host_up() -> None:
    """Each has a thousand encodings, most of them lines of base64; comparing all pairs took minutes."""
    values = [random.Random(number).randbytes(12_000).hex() for number in range(10)]
    began = time.process_time()
    masker = Masker(values)
    assert time.process_time() - began < 10.0
    block = b"a line of a log that holds no secret at all\n" * 1000
    began = time.process_time()
    for _ in range(20):
        assert masker.mask(block) is block
    assert time.process_time() - began < 1.0
    wrapped = base64.encodebytes(values[7].encode())
    assert set(masker.mask(wrapped).split(b"\n")[:-2]) == {HIDDEN}


# Values other than logs.


def test_a_result_is_masked_in_texts_keys_and_numbers() -> None:
    given = {"k": ["is s3cret-one", 12345678, True, None, 1.5, {"s3cret-one": {"deep": "czNjcmV0LW9uZQ=="}}], "n": 1234}
    masked = Masker(["s3cret-one", "12345678"]).mask_json(given)
    assert masked == {"k": ["is ***", "***", True, None, 1.5, {"***": {"deep": "***=="}}], "n": 1234} or masked == {
        "k": ["is ***", "***", True, None, 1.5, {"***": {"deep": "***Q=="}}],
        "n": 1234,
    }
    deep: Any = "s3cret-one"
    for _ in range(50_000):
        deep = [deep]
    masked = Masker(["s3cret-one"]).mask_json(deep)
    while isinstance(masked, list):
        masked = masked[0]
    assert masked == "***"


def test_a_result_without_secrets_is_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    masker = Masker(['s3cr"et-one', "ünï", "12345678"])
    monkeypatch.setattr(Masker, "_mask_scalar", lambda *_: pytest.fail("looked at a scalar"))
    given: list[Any] = [1, 2.5, "text", {"key": None}] * 3
    assert masker.mask_json(given) is given


@pytest.mark.parametrize("value", ['s3cr"et-one', "ünï\\n", "12345678", '"""""', 'a"b"c"d', PEM])
def test_a_result_with_a_secret_always_is(value: str) -> None:
    for form in disguised(value).values():
        assert HIDDEN.decode() in json.dumps(Masker([value]).mask_json({"k": [form.decode()]}))


@pytest.mark.parametrize("network", ["isolated", "egress", "none"])
def test_a_slot_masks_the_token_that_its_script_was_given(network: str) -> None:
    from ipaddress import IPv4Network
    from threading import Semaphore

    from tests.fakes.engine import FakeEngine
    from tests.fakes.specs import Remembering

    spec = make_spec(network=network)
    slot = Slot(FakeEngine(), spec, Remembering(), SubnetPool(IPv4Network("10.215.0.0/24")), Semaphore(1))
    for form in disguised(spec.token).values():
        masked = slot._masked._masker.mask(form)
        assert (form in masked) is (network == "none")
        assert network == "none" or not windows(spec.token.encode(), 24) & windows(masked, 24)


def test_a_slot_masks_the_result_and_no_other_request() -> None:
    from ipaddress import IPv4Network
    from threading import Semaphore

    from tests.fakes.engine import FakeEngine
    from tests.fakes.specs import Remembering

    told = Remembering()
    spec = make_spec(secrets={"KEY": "s3cret-one"})
    slot = Slot(FakeEngine(), spec, told, SubnetPool(IPv4Network("10.215.0.0/24")), Semaphore(1))
    slot._masked.answer_request("output", {"output": {"key": "s3cret-one"}})
    slot._masked.answer_request("other", {"output": "s3cret-one"})
    assert told.requests == [("output", {"output": {"key": "***"}}), ("other", {"output": "s3cret-one"})]


def test_secrets_travel_in_the_payload_and_in_no_repr() -> None:
    spec = make_spec(env={"KEY": "of the job"}, secrets={"KEY": "s3cret 'one'"})
    assert "s3cret" not in repr(spec)
    text = payload.build_payload(spec).decode()
    assert f"export KEY={shlex.quote(spec.secrets['KEY'])}\n" in text
    assert "of the job" not in text
