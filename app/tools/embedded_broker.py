"""A throw-away broker inside this process: librdkafka's mock cluster, part of the confluent-kafka wheel.

For the demo and for quick tests on a machine without Kafka or Java, with **one** worker. It speaks
enough of the protocol for producers, consumer groups and fetches of librdkafka and aiokafka.

What it is not:

- Nothing survives: the log is in this process's memory and goes with it.
- Of each partition only the newest 5 MiB are kept; older batches are dropped, silently. A batch that is
  larger than that alone is acknowledged and lost.
- Topics have no settings: no compaction, no retention, no LogAppendTime. A record keeps its producer's
  timestamp, but the acknowledgement of it carries a made-up one.
- It has no CreateTopics request, nor any that describes or alters settings. `create_topic` stands in for it.
  A topic that was never created comes into being with four partitions when a client first asks for it.
- A fetch that waits for data is not woken when data arrive. It sleeps out its `fetch_max_wait_ms`, so a
  client that wants low latency has to ask for a short wait (20 ms).
- Offsets can't be looked up by time, and a group's offsets only for partitions that are named.
- In a group, the next rebalance waits until the session of a member that is gone has timed out.
- Two workers of one group lose records on it. Anything about delivery is tested on real Kafka.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from confluent_kafka import cimpl

from app.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_BROKER_ID: Final = 1
_PRODUCER: Final = 0
_CONF_OK: Final = 0
_ERROR_TEXT_SIZE: Final = 512
_LOG_CRITICAL: Final = b"2"

_Signature = tuple[str, type[Any] | None, list[type[Any]]]


class EmbeddedBroker:
    """One mock broker on a free loopback port, alive from `start` (or `with`) until `close`.

    The broker runs on a thread of librdkafka's own and never takes the interpreter's lock, so clients
    in the same process can talk to it.
    """

    def __init__(self) -> None:
        """Prepare only; the broker listens after `start`."""
        self._library: ctypes.CDLL | None = None
        self._client: int | None = None
        self._cluster: int | None = None

    def __enter__(self) -> Self:
        """Start the broker."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the broker, whatever ended the block."""
        self.close()

    @property
    def brokers(self) -> str:
        """The address to connect to, as `host:port`.

        Raises:
            BrokerError: The broker is not running.
        """
        library, cluster = self._running()
        address = library.rd_kafka_mock_cluster_bootstraps(cluster)
        return bytes(address).decode("ascii")

    def start(self) -> None:
        """Listen on a free loopback port; a group's first rebalance then starts without delay.

        Raises:
            BrokerError: librdkafka or its mock cluster is not to be had, or it is running already.
        """
        if self._cluster is not None:
            raise BrokerError("the embedded broker is running already; close it before starting it again")
        library = _load()
        self._client = _new_client(library)
        cluster = library.rd_kafka_mock_cluster_new(self._client, 1)
        if not cluster:
            library.rd_kafka_destroy(self._client)
            self._client = None
            raise BrokerError("the embedded broker can't listen on loopback; check that ports may be opened there")
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
        # Without a controller an admin client waits out its timeout instead of saying what is unsupported.
        library.rd_kafka_mock_set_controller_id(cluster, _BROKER_ID)
        self._library, self._cluster = library, cluster

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic, which must not exist yet.

        Args:
            name: Name of the topic.
            partitions: Number of its partitions, at least one.

        Raises:
            BrokerError: The topic exists, the count is impossible, or the broker is not running.
        """
        library, cluster = self._running()
        if partitions < 1:
            raise BrokerError(f"topic {name} needs at least one partition, not {partitions}")
        code = library.rd_kafka_mock_topic_create(cluster, name.encode(), partitions, 1)
        if code:
            reason = bytes(library.rd_kafka_err2str(code)).decode()
            raise BrokerError(f"the embedded broker did not create topic {name}: {reason}")

    def close(self) -> None:
        """Drop every connection and all that was kept. Closing twice does nothing."""
        if self._library is None:
            return
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)
        self._library = self._client = self._cluster = None

    def _running(self) -> tuple[ctypes.CDLL, int]:
        """The library and the cluster's handle, or an error while there is no cluster."""
        if self._library is None or self._cluster is None:
            raise BrokerError("the embedded broker is not running; start it, or use it in a with statement")
        return self._library, self._cluster


def _new_client(library: ctypes.CDLL) -> int:
    """A client handle for the mock cluster to live in; it connects to nothing itself."""
    conf = library.rd_kafka_conf_new()
    text = ctypes.create_string_buffer(_ERROR_TEXT_SIZE)
    # The client has no broker of its own and would say so on standard error.
    if library.rd_kafka_conf_set(conf, b"log_level", _LOG_CRITICAL, text, _ERROR_TEXT_SIZE) != _CONF_OK:
        library.rd_kafka_conf_destroy(conf)
        raise BrokerError(f"librdkafka refused a setting of the embedded broker: {text.value.decode()}")
    client = library.rd_kafka_new(_PRODUCER, conf, text, _ERROR_TEXT_SIZE)
    if not client:
        library.rd_kafka_conf_destroy(conf)
        raise BrokerError(f"librdkafka did not start the embedded broker: {text.value.decode()}")
    return int(client)


def _signatures() -> list[_Signature]:
    """Every function called, with result and arguments; undeclared, a handle would be cut to 32 bits."""
    handle, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    return [
        ("rd_kafka_conf_new", handle, []),
        ("rd_kafka_conf_set", number, [handle, text, text, text, ctypes.c_size_t]),
        ("rd_kafka_conf_destroy", None, [handle]),
        ("rd_kafka_new", handle, [number, handle, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [handle]),
        ("rd_kafka_err2str", text, [number]),
        ("rd_kafka_mock_cluster_new", handle, [handle, number]),
        ("rd_kafka_mock_cluster_destroy", None, [handle]),
        ("rd_kafka_mock_cluster_bootstraps", text, [handle]),
        ("rd_kafka_mock_topic_create", number, [handle, text, number, number]),
        ("rd_kafka_mock_set_controller_id", number, [handle, ctypes.c_int32]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [handle, ctypes.c_int32]),
    ]


def _load() -> ctypes.CDLL:
    """The librdkafka that confluent-kafka itself uses, with the signatures set.

    Raises:
        BrokerError: No library beside confluent-kafka has the mock cluster's functions.
    """
    for path in _candidates():
        try:
            library = ctypes.CDLL(str(path))
            for name, result, arguments in _signatures():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        return library
    raise BrokerError(
        "no librdkafka with a mock cluster beside confluent-kafka; install confluent-kafka from its wheel"
    )


def _candidates() -> Iterator[Path]:
    """Where librdkafka may be, likeliest first.

    A symbol looked up in the extension module is also searched in the libraries it is linked to, whatever
    their file is called; where that fails, the wheel's own copy has a name with a digest in it.
    """
    extension = Path(cimpl.__file__)
    yield extension
    package = extension.parent
    for folder in (package.parent / "confluent_kafka.libs", package / ".dylibs"):
        yield from sorted(folder.glob("*rdkafka*"))
