"""Libraries inside wheels, as far as can be told of the files for CPython 3.11 on x86-64 Linux."""

from __future__ import annotations

from typing import Final, NamedTuple


class Bundled(NamedTuple):
    """One library inside a wheel.

    Attributes:
        package: The wheel's name in the lock.
        name: The library's.
        version: As it was found; empty where the file does not tell.
        licence: SPDX, of the library's own project.
        told_by: How it was found.
        text: Whether the wheel brings this library's licence text.
    """

    package: str
    name: str
    version: str
    licence: str
    told_by: str
    text: bool


BUNDLED: Final = (
    Bundled("aiohttp", "llhttp", "", "MIT", "its licence file lies in the wheel", text=True),
    Bundled("backports-zstd", "zstd", "1.5.7", "BSD-3-Clause", "`zstd_version_info`", text=True),
    Bundled("confluent-kafka", "librdkafka", "2.16.0", "BSD-2-Clause", "`libversion()`", text=True),
    Bundled("confluent-kafka", "openssl", "3.5.8", "Apache-2.0", "a string in librdkafka", text=False),
    Bundled("confluent-kafka", "zlib", "1.3.2", "Zlib", "a string in librdkafka", text=True),
    Bundled("confluent-kafka", "zstd", "1.5.7", "BSD-3-Clause", "a string in librdkafka", text=False),
    Bundled("confluent-kafka", "lz4", "1.9.4", "BSD-2-Clause", "a string in librdkafka", text=True),
    Bundled("confluent-kafka", "curl", "", "curl", "strings in librdkafka", text=False),
    Bundled("cramjam", "bzip2", "1.0.8", "bzip2-1.0.6", "crate `bzip2-sys`", text=False),
    Bundled("cramjam", "lz4", "1.10.0", "BSD-2-Clause", "crate `lz4-sys`", text=False),
    Bundled("cramjam", "xz", "", "LicenseRef-Public-Domain", "crate `lzma-sys` 0.1.20, before xz 5.6", text=False),
    Bundled("cramjam", "zstd", "1.5.7", "BSD-3-Clause", "crate `zstd-sys`", text=False),
    Bundled("rocksdict", "rocksdb", "9.8.4", "Apache-2.0", "the log of a database; GPL-2.0 or Apache-2.0", text=False),
    Bundled("rocksdict", "bzip2", "1.0.8", "bzip2-1.0.6", "a crate's path in the library", text=False),
    Bundled("rocksdict", "zlib", "1.3.1", "Zlib", "a string in the library", text=False),
    Bundled("rocksdict", "zstd", "", "BSD-3-Clause", "strings in the library", text=False),
    Bundled("rocksdict", "lz4", "", "BSD-2-Clause", "strings in the library", text=False),
    Bundled("rocksdict", "snappy", "", "BSD-3-Clause", "strings in the library", text=False),
    Bundled("uvloop", "libuv", "1.52.1", "MIT", "`libuv_get_version()`", text=False),
)
"""Those that are no Rust crates. cyrus-sasl is not among them: librdkafka says that it was built without."""
