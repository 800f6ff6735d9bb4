"""The format of the server's log: one line per record, as text or JSON, with the ids of its run, host and request."""

import logging
import logging.config
import sys
import threading
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from executor import log_context

log = logging.getLogger("cronium.process")
request_id: ContextVar[str] = ContextVar("request_id", default="")


class ContextFilter(logging.Filter):
    """Adds run id, request id and host to every record, and drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.run_id = getattr(record, "run_id", "") or log_context.run_id.get()
        record.request_id = request_id.get()
        record.host = log_context.get_host_name()
        return True


class OutageAnswerFilter(logging.Filter):
    """Drops Django's line for a 503: its cause is logged already, and the access log has the response."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status_code", 0) != 503


class TextFormatter(logging.Formatter):
    """Appends the run's id if the message does not contain it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")
        run_id = getattr(record, "run_id", "")
        return f"{line} (run {run_id})" if run_id and run_id not in line else line


class JsonLogFormatter(JsonFormatter):
    """One JSON object per line with time, level, logger and message, and with those other fields that have a value."""

    def __init__(self) -> None:
        super().__init__(json_ensure_ascii=False)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data.update(level=record.levelname, logger=record.name, message=record.getMessage())
        about = {name: getattr(record, name, "") for name in ("run_id", "host", "request_id")}
        log_data.update({name: value for name, value in about.items() if value})
        log_data.update(getattr(record, "access", {}))
        if message_dict.get("exc_info"):
            log_data["exception"] = message_dict["exc_info"]


def configure_logging(settings: dict[str, Any]) -> None:
    # In JSON format, warnings and uncaught exceptions of Python become log lines too.
    logging.config.dictConfig(settings)
    if settings["handlers"]["console"]["formatter"] == "json":
        logging.captureWarnings(True)
        sys.excepthook = _log_uncaught
        threading.excepthook = _log_thread_error


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.critical("the process ended with an error", exc_info=(kind, error, trace))


def _log_thread_error(failure: threading.ExceptHookArgs) -> None:
    if not issubclass(failure.exc_type, SystemExit):
        name = failure.thread.name if failure.thread else "unknown"
        exc_info = (failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
        log.error("the thread %s ended with an error", name, exc_info=exc_info)
