"""Members of .zip archives, read where they lie."""

from __future__ import annotations

import zipfile
from typing import IO

from plait.readers._budget import Purse

__all__ = ["opened_member"]


def opened_member(archive: zipfile.ZipFile, name: str, purse: Purse) -> IO[bytes]:
    """A member, for reading.

    Raises:
        DataError: it unpacks to more than is left.
        ValueError: it is packed in another way than deflate.
    """
    info = archive.getinfo(name)
    # zipfile bounds what deflate gives at a time; bzip2 and lzma give all of a block, however large.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"it is packed in way {info.compress_type}; expected deflate")
    # The stated size can be relied on: zipfile reads no further.
    purse.spend(info.file_size, name)
    return archive.open(info)
