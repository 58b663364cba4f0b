"""Static files under addresses that carry a hash of the whole tree, so that a browser may keep them for ever."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from umbel.errors import UmbelError

DIRECTORY: Final = Path(__file__).parent / "static"
#: A year: what RFC 9111 takes for ever.
IMMUTABLE: Final = "public, max-age=31536000, immutable"


class Assets:
    """The files of one directory; they do not change while the process lives."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory

    @cached_property
    def _files(self) -> dict[str, Path]:
        found = sorted(path for path in self._directory.rglob("*") if path.is_file() and not path.name.startswith("."))
        return {path.relative_to(self._directory).as_posix(): path for path in found}

    @cached_property
    def version(self) -> str:
        """A hash of every name and content; one for all, so that files may refer to each other by relative paths."""
        digest = hashlib.sha256()
        for name, path in self._files.items():
            content = hashlib.sha256(path.read_bytes()).digest()
            digest.update(name.encode() + b"\0" + content)
        return digest.hexdigest()[:16]

    def url(self, name: str, prefix: str = "") -> str:
        """The address of a file such as `app.css`; raises `UmbelError` for one that is not there."""
        if name not in self._files:
            remedy = " Run `make assets`." if name.startswith("vendor/") else ""
            raise UmbelError(f"there is no static file {name}.{remedy}")
        return f"{prefix}/static/{self.version}/{name}"

    def response(self, version: str, name: str) -> Response:
        """The file; one asked for under another version's address (an old page's) must be asked for again later."""
        path = self._files.get(name)
        if path is None:
            raise HTTPException(404, f"There is no file {name}.")
        cache = IMMUTABLE if version == self.version else "no-cache"
        return FileResponse(path, headers={"Cache-Control": cache})
