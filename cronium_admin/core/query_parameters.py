"""The check of every API route's query parameters: an unknown one, or a single one given twice, is an error."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest

from cronium_admin.core.errors import ApiError

View = Callable[..., Any]


def accept_prefix(prefix: str) -> Callable[[View], View]:
    """The route also takes all parameters that begin with `prefix`, any number of times."""

    def mark(view: View) -> View:
        view.accepted_prefix = prefix  # type: ignore[attr-defined]
        return view

    return mark


def check_parameters(view: View) -> View:
    """A decorator of routes, for `add_decorator`: raises ApiError 422 before the route is called."""
    models: Any = view._ninja_operation.models  # type: ignore[attr-defined]
    queries = [model for model in models if model.__ninja_param_source__ == "query"]
    names = {name for model in queries for name in model.__ninja_flatten_map__}
    lists = {name for model in queries for name in model.__ninja_collection_fields__}
    prefix = getattr(view, "accepted_prefix", None)

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        for name, values in request.GET.lists():
            if name in names:
                if len(values) > 1 and name not in lists:
                    raise _make_error(name, "Given more than once. Give it once.")
            elif prefix is None or not name.startswith(prefix):
                raise _make_error(name, describe_parameters({*names, *([f"{prefix}NAME"] if prefix else [])}))
        return view(request, *args, **kwargs)

    return answer


def describe_parameters(names: set[str]) -> str:
    known = f"The parameters are: {', '.join(sorted(names))}." if names else "This route takes no parameters."
    return f"Unknown parameter. {known}"


def _make_error(name: str, text: str) -> ApiError:
    shown = name[:40].encode(errors="replace").decode()
    return ApiError(422, "invalid", f"{shown}: {text}", {shown: [text]})
