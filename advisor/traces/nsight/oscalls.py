"""What calls into the operating system are about (OSRT_API).

Only calls that can explain why work was late have a role. Waits for another thread (poll, futexes, condition
variables) say that a thread waited, not for what, so they have none.
"""

from __future__ import annotations

import re
from functools import lru_cache

from rules.traces.host_names import HostRole

_FILES = re.compile(
    r"^(?:__)?(?:p?readv?2?|p?writev?2?|pread64|pwrite64|preadv64|pwritev64|f(?:read|write|open|close|flush|gets|"
    r"puts|getc|putc|scanf|printf)(?:64)?(?:_unlocked)?|open(?:at)?(?:64)?(?:_2)?|fopen64|creat(?:64)?|close|"
    r"f(?:data)?sync|sync|syncfs|sync_file_range|sendfile(?:64)?|copy_file_range|splice|readahead|l?stat(?:64)?|"
    r"fstat(?:at)?(?:64)?|getdents(?:64)?|readdir(?:64)?(?:_r)?|unlink(?:at)?|rename(?:at2?)?|f?truncate(?:64)?|"
    r"posix_fadvise(?:64)?|fallocate(?:64)?|posix_fallocate(?:64)?|io_(?:submit|getevents)|aio_\w+|getline|"
    r"getdelim)$"
)
# Shorter waits without a role explain nothing: kernels themselves take that long.
MIN_OTHER_NS = 20_000


@lru_cache(maxsize=4096)
def os_role(name: str) -> HostRole:
    """The role of an operating system call: IO for files, OTHER for the rest."""
    return HostRole.IO if _FILES.match(name) else HostRole.OTHER
