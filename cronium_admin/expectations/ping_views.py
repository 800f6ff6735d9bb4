"""The ping URLs: /ping/KEY and /ping/KEY/ACTION. No sign-in: the key is the secret, so no log has the path."""

import logging
import re
from uuid import UUID

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from cronium_admin.expectations.check_models import PingKind
from cronium_admin.expectations.pings import BODY_LIMIT, PER_MINUTE, Request, TooManyPings, UnknownCheck, receive_ping

log = logging.getLogger("cronium.expectations")
_ACTIONS = {"": PingKind.SUCCESS, "start": PingKind.START, "fail": PingKind.FAIL, "log": PingKind.LOG}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_EXIT_CODE = re.compile(r"[0-9]{1,9}", re.ASCII)


@csrf_exempt
@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def receive(request: HttpRequest, key: str, action: str = "") -> HttpResponse:
    try:
        return _receive(request, key, action)
    except Exception:
        # Django's own line about an error would have the path.
        log.exception("a ping was not stored")
        return _answer(503, "Not stored. Try again in a moment.")


def _receive(request: HttpRequest, key: str, action: str) -> HttpResponse:
    check_key, is_code = _parse_uuid(key), bool(_EXIT_CODE.fullmatch(action))
    if check_key is None or not (action in _ACTIONS or is_code):
        return _answer(404, "Not found. The URL is /ping/ID, and /start, /fail, /log or an exit code after it.")
    if is_code and int(action) > 255:
        return _answer(400, "The exit code is not in 0 to 255.")
    run_text = request.GET.get("rid", "")
    run_id = _parse_uuid(run_text)
    if run_text and run_id is None:
        return _answer(400, "rid is not a UUID.")
    kind = (PingKind.FAIL if int(action) else PingKind.SUCCESS) if is_code else _ACTIONS[action]
    ping = Request(
        kind=kind,
        method=str(request.method),
        exit_code=int(action) if is_code else None,
        run_id=run_id,
        user_agent=request.headers.get("User-Agent", "").replace("\0", "")[:200],
        body=request.body,
    )
    try:
        receive_ping(check_key, ping)
    except UnknownCheck:
        return _answer(404, "Not found. No check has this URL.")
    except TooManyPings:
        answer = _answer(429, f"Too many pings: a check takes {PER_MINUTE} a minute.")
        answer["Retry-After"] = "60"
        return answer
    return _answer(200, "OK")


def _parse_uuid(text: str) -> UUID | None:
    return UUID(text) if _UUID.fullmatch(text) else None


def _answer(status: int, text: str) -> HttpResponse:
    answer = HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")
    answer["Ping-Body-Limit"] = str(BODY_LIMIT)
    return answer
