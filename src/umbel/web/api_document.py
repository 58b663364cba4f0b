"""The OpenAPI document: what FastAPI reads from the routes, with what it cannot know of them.

Flower's own addresses are left out on purpose: they answer as Flower 2.2 does, which has no such document, and programs
that know them know Flower. `docs/from-flower.md` tells where they differ.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter

from umbel.access.identity import Permit
from umbel.web.api_examples import EXAMPLES
from umbel.web.api_models import ErrorBody
from umbel.web.cookies import SESSION
from umbel.web.permits import PERMITS

#: What an answer that is no success means, by its status.
_MEANINGS: Final = {
    400: "A parameter, the search or the body cannot be used; the message says which and why.",
    401: "Nobody has signed in, or the token or password is not known.",
    403: "The role may not do this, or Umbel is read-only.",
    404: "There is no such thing: never seen, or older than what is kept.",
    409: "The true arguments are not known, so they have to be given.",
    413: "The body is too long.",
    429: "Too many changes or failed sign-ins within a minute; `Retry-After` says how long to wait.",
    501: "The part that writes this format is not installed.",
    503: "The store, the broker or the workers cannot be asked just now, or no broker is known; see the message.",
}
#: What any request may be answered: the gate in front of the routes and the store behind them.
_ALWAYS: Final = (401, 403, 429, 503)

#: What is in `components` for the operations' `security`.
_SCHEMES: Final = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token, from `umbel token create` or the page `/access`.",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "User and password, where passwords are known."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION,
        "description": f"A browser's session; over TLS the cookie's name is `__Host-{SESSION}`.",
    },
}
#: Key of an operation under which its body's schemas wait until they are put among the document's.
_BODIES: Final = "x-bodies"


#: Where a schema is, in the document.
_PLACE: Final = "#/components/schemas/{model}"
#: The body of an answer that is no success. Given as `model`, each route would make a validator of it for each status:
#: some 400, a second of the web's start, of which none is ever asked.
_ERROR: Final = {"application/json": {"schema": {"$ref": _PLACE.format(model=ErrorBody.__name__)}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of routes that may answer these statuses besides those that every route may."""
    return {status: {"content": _ERROR, "description": _MEANINGS[status]} for status in sorted({*statuses, *_ALWAYS})}


def body(schemas: dict[str, Any], name: str) -> dict[str, Any]:
    """The `openapi_extra` of a route whose body is the schema `name` among these."""
    content = {"application/json": {"schema": {"$ref": _PLACE.format(model=name)}}}
    required = bool(schemas[name].get("required"))
    return {"requestBody": {"required": required, "content": content}, _BODIES: schemas}


def complete(document: dict[str, Any], *, login: bool, metrics: bool) -> dict[str, Any]:
    """The document with bodies, permissions, examples and ways to sign in.

    `login`: one has to sign in; `metrics`: for the metrics as well.
    """
    free = {Permit.OPEN} if metrics else {Permit.OPEN, Permit.METRICS}
    components = document.setdefault("components", {})
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            schemas.update(operation.pop(_BODIES, {}))
            # What FastAPI answers to a wrong parameter, we do not: see `errors`.
            operation["responses"].pop("422", None)
            permit = _permit(method.upper(), path)
            operation["x-permission"] = permit.value
            if permit in free:
                operation["security"] = []
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    error = TypeAdapter(ErrorBody).json_schema(ref_template=_PLACE, mode="serialization")
    schemas.update(error.pop("$defs", {}))
    schemas[ErrorBody.__name__] = error
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    components["securitySchemes"] = _SCHEMES
    document["security"] = [*([] if login else [{}]), *({name: []} for name in _SCHEMES)]
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _permit(method: str, path: str) -> Permit:
    """What the operation asks for; the document writes `{task_id}` where the route has `{task_id:path}`."""
    return next((permit for route, permit in PERMITS.items() if _plain(route) == f"{method} {path}"), Permit.ADMIN)


def _plain(route: str) -> str:
    return route.replace(":path}", "}")
