"""Fetches a release from the file share into /mount, as the app's managed identity; standard library only.

The template runs it as `python3 -c`, before there is anything of Remora in the container. A release's id is a
hash of its files, so what was fetched is what was deployed. The role of a new identity takes minutes to work.
"""

import hashlib
import json
import os
import sys
import time
import urllib.request
from email.utils import formatdate
from http.client import HTTPException
from pathlib import Path

FILES = ("release.json", "code.zip", "requirements.txt", "start.py")
PATIENCE_SECONDS = 600
PAUSE_SECONDS = 3


def answer(url: str, headers: dict[str, str]) -> bytes:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - of the template and the platform
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return bytes(response.read())


def token() -> str:
    query = "?api-version=2019-08-01&resource=https://storage.azure.com&client_id="
    url = os.environ["IDENTITY_ENDPOINT"] + query + os.environ["REMORA_SHARE_IDENTITY"]
    return str(json.loads(answer(url, {"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]}))["access_token"])


def fetched(release: str) -> dict[str, bytes]:
    url = os.environ["REMORA_SHARE_URL"] + "/.remora/releases/" + release + "/"
    own = {"Authorization": "Bearer " + token(), "x-ms-file-request-intent": "backup"}
    own |= {"x-ms-version": "2024-11-04", "x-ms-date": formatdate(usegmt=True)}
    return {name: answer(url + name, own) for name in FILES}


def is_whole(release: str, contents: dict[str, bytes]) -> bool:
    hashes = b"".join(hashlib.sha256(contents[name]).digest() for name in FILES)
    return hashlib.sha256(hashes).hexdigest().startswith(release)


def main(release: str, mount: str) -> None:
    folder = Path(mount, ".remora", "releases", release)
    known = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
    if len(known) == len(FILES) and is_whole(release, known):
        return
    told, ends = "", time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            contents = fetched(release)
            break
        except (OSError, HTTPException, ValueError, KeyError) as error:
            code = (getattr(error, "headers", None) or {}).get("x-ms-error-code")
            reason = f"cannot read release {release} on the share: {code or repr(error)}"
        if time.monotonic() > ends:
            sys.exit(reason)
        if reason != told:
            sys.stderr.write(f"{reason}; trying again\n")
            sys.stderr.flush()
        told = reason
        time.sleep(PAUSE_SECONDS)
    if not is_whole(release, contents):
        sys.exit(f"release {release} on the share is damaged; run: remora deploy")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)


if os.environ.get("REMORA_RELEASE", "").isalnum():
    main(os.environ["REMORA_RELEASE"], "/mount")
