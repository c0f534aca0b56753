"""What can be asked of a service, as OpenAPI 3.1."""

from typing import Any

from features import __version__

_IMAGE = {"type": "string", "format": "binary", "description": "the bytes of an image file"}
_OF_CLASS = {"class": {"type": "string"}, "probability": {"type": "number"}}
_CLASS = {"type": "object", "properties": _OF_CLASS}


def description(model: str, images: int, body: int) -> dict[str, Any]:
    """Return the description of a service.

    Args:
        model: the name of its candidate.
        images: in a request, at most.
        body: bytes of a request, at most.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": model, "version": __version__},
        "paths": {
            "/predict": {"post": _post("Tell the classes of images", images, body, _answer())},
            "/explain": {"post": _post("Show where the evidence lies", 1, body, {"image/png": {}})},
            "/health": {"get": _get("Say that the service is there", "application/json")},
            "/metrics": {"get": _get("Counts for Prometheus", "text/plain")},
            "/": {"get": _get("A page to drop images on", "text/html")},
        },
    }


def _post(summary: str, images: int, body: int, content: dict[str, Any]) -> dict[str, Any]:
    form = {
        "type": "object",
        "properties": {"image": {"type": "array", "items": _IMAGE, "maxItems": images}},
    }
    refusals = {
        "400": "no image came",
        "408": "the request did not arrive in time",
        "413": f"more than {body} bytes came",
        "422": "an image cannot be read",
        "503": "too much is under way; Retry-After says when to come again",
    }
    return {
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": _IMAGE}, "multipart/form-data": {"schema": form}},
        },
        "responses": {"200": {"description": summary, "content": content}}
        | {status: {"description": reason} for status, reason in refusals.items()},
    }


def _get(summary: str, kind: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": {kind: {}}}},
    }


def _answer() -> dict[str, Any]:
    row = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            **_OF_CLASS,
            "top": {"type": "array", "items": _CLASS},
            "set": {"type": "array", "items": {"type": "string"}},
            "familiarity": {"type": ["number", "null"]},
            "unlike": {"type": ["boolean", "null"]},
            "problem": {"type": "string"},
        },
    }
    schema = {
        "type": "object",
        "properties": {
            "model": {"type": "string"},
            "predictions": {"type": "array", "items": row},
        },
    }
    return {"application/json": {"schema": schema}}
