"""Where the files of a data set are looked for, and how they are fetched.

Order: the `data_dir` argument alone if it is given; else the folder in the environment variable FASTNN_DATA, then the
cache. In each folder both ``<folder>/<name of the set>/<file>`` and ``<folder>/<file>`` count. What is not found is
downloaded into `data_dir` or the cache, with its checksum verified, when the set may be distributed.
"""

from __future__ import annotations

import os
from pathlib import Path

from .._arrays import require

__all__ = ["cache_dir", "find_file"]


def cache_dir() -> Path:
    """Folder of downloaded data: FASTNN_CACHE, or ``fastnn`` in XDG_CACHE_HOME or ``~/.cache``."""
    own = os.environ.get("FASTNN_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fastnn"


def find_file(dataset: str, folder: str, names, data_dir=None, download: bool = True, urls=(), checksum=None,
              why_local: str = "") -> Path:  # fmt: skip
    """The first of `names` that exists in one of the folders, or the downloaded file.

    Parameters
    ----------
    dataset : str
        Name of the set, for messages.
    folder : str
        Its subfolder.
    names : sequence of str
        Accepted file names, preferred one first; the first is the name of a download.
    data_dir : str or Path, optional
    download : bool
        Allow fetching from `urls`.
    urls : sequence of str
        Folders of mirrors, tried in order.
    checksum : str, optional
        ``"md5:..."`` or ``"sha256:..."`` of the first name.
    why_local : str
        Why there is no download, for the message.

    Raises
    ------
    FileNotFoundError
        With every path that was tried, and what to do.
    """
    if data_dir is not None:
        roots = [Path(data_dir).expanduser()]
    else:
        own = os.environ.get("FASTNN_DATA")
        roots = ([Path(own).expanduser()] if own else []) + [cache_dir()]
    tried = [place / name for root in roots for place in (root / folder, root) for name in names]
    for path in tried:
        if path.is_file():
            return path
    if download and urls:
        return _fetch(dataset, names[0], roots[-1] / folder, urls, checksum)
    listing = "\n".join(f"  {path}" for path in tried)
    if why_local:
        advice = f"It is not downloaded: {why_local}."
    elif urls:
        advice = "Download is switched off (download=False)."
    else:
        advice = "It has no known download."
    raise FileNotFoundError(
        f"{dataset}: file not found. Looked for\n{listing}\n{advice} Put the file in one of these places, or name its "
        "folder with data_dir=... or the environment variable FASTNN_DATA."
    )


def _fetch(dataset, name, folder, urls, checksum):
    pooch = require("pooch", "recipes", f"{dataset}: downloading {name}")
    failures = []
    for url in urls:
        try:
            return Path(pooch.retrieve(f"{url.rstrip('/')}/{name}", known_hash=checksum, fname=name, path=folder))
        except Exception as error:  # any mirror may fail in its own way: DNS, HTTP status, checksum
            failures.append(f"  {url.rstrip('/')}/{name}: {type(error).__name__}: {error}")
    raise OSError(
        f"{dataset}: {name} is not in {folder} and no mirror gave it:\n" + "\n".join(failures) + "\n"
        "Without a network, put the file there by hand, or name its folder with data_dir=... or FASTNN_DATA."
    )
