"""Bytes straight into a topic and out of it, past everything that the project checks: librdkafka through ctypes."""
import ctypes
import time

_PRODUCER, _CONSUMER, _COPY, _ANY_PARTITION, _END = 0, 1, 2, -1, -1
BEGINNING = -2


class _Message(ctypes.Structure):
    """rd_kafka_message_t"""
    _fields_ = [("err", ctypes.c_int), ("topic", ctypes.c_void_p), ("partition", ctypes.c_int32), ("payload", ctypes.c_void_p),
                ("len", ctypes.c_size_t), ("key", ctypes.c_void_p), ("key_len", ctypes.c_size_t), ("offset", ctypes.c_int64),
                ("private", ctypes.c_void_p)]


def _client(kind, bootstrap):
    """(librdkafka, a client of it)"""
    kafka = ctypes.CDLL("librdkafka.so.1")
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_topic_new", "rd_kafka_queue_new"):
        getattr(kafka, name).restype = ctypes.c_void_p
    kafka.rd_kafka_consume_queue.restype = ctypes.POINTER(_Message)
    kafka.rd_kafka_message_timestamp.restype = ctypes.c_int64
    conf = ctypes.c_void_p(kafka.rd_kafka_conf_new())
    text = ctypes.create_string_buffer(512)
    assert kafka.rd_kafka_conf_set(conf, b"bootstrap.servers", bootstrap.encode(), text, 512) == 0, text.value
    client = ctypes.c_void_p(kafka.rd_kafka_new(kind, conf, text, 512))
    assert client.value, text.value
    return kafka, client


class Tail:
    """Committed records of a topic from its end (or BEGINNING) on: (seconds since the epoch at which it came, value), until
    end()."""

    def __init__(self, bootstrap, topic, partitions=12, begin=_END):
        self._kafka, self._client = _client(_CONSUMER, bootstrap)
        self._topic = ctypes.c_void_p(self._kafka.rd_kafka_topic_new(self._client, topic.encode(), None))
        self._queue = ctypes.c_void_p(self._kafka.rd_kafka_queue_new(self._client))
        self._partitions = range(partitions)
        self._ended = False
        for partition in self._partitions:
            assert self._kafka.rd_kafka_consume_start_queue(self._topic, ctypes.c_int32(partition), ctypes.c_int64(begin),
                                                            self._queue) == 0

    def end(self):
        self._ended = True

    def __iter__(self):
        for arrived, _, value in self.placed():
            yield arrived, value

    def placed(self):
        """The same with what the log says of the record: (seconds, (partition, offset, key, time of the log in ms), value)."""
        while not self._ended:
            message = self._kafka.rd_kafka_consume_queue(self._queue, 100)
            if not message:
                continue
            arrived = time.time()
            value = ctypes.string_at(message.contents.payload, message.contents.len) if message.contents.err == 0 else None
            place = (message.contents.partition, message.contents.offset,
                     ctypes.string_at(message.contents.key, message.contents.key_len) if message.contents.key else None,
                     self._kafka.rd_kafka_message_timestamp(message, None))
            self._kafka.rd_kafka_message_destroy(message)
            if value:
                yield arrived, place, value
        for partition in self._partitions:
            self._kafka.rd_kafka_consume_stop(self._topic, ctypes.c_int32(partition))
        self._kafka.rd_kafka_queue_destroy(self._queue)
        self._kafka.rd_kafka_topic_destroy(self._topic)
        self._kafka.rd_kafka_destroy(self._client)


def put(bootstrap, topic, values, timeout_ms=60_000, places=None):
    """Produces the values, without keys and to any partitions or with a (partition, key) for each, and waits until the broker has
    them."""
    kafka, client = _client(_PRODUCER, bootstrap)
    handle = ctypes.c_void_p(kafka.rd_kafka_topic_new(client, topic.encode(), None))
    for value, (partition, key) in zip(values, places or [(_ANY_PARTITION, None)] * len(values)):
        assert kafka.rd_kafka_produce(handle, ctypes.c_int32(partition), _COPY, value, ctypes.c_size_t(len(value)), key,
                                      ctypes.c_size_t(len(key or b"")), None) == 0
    assert kafka.rd_kafka_flush(client, timeout_ms) == 0, "not everything was produced"
    kafka.rd_kafka_topic_destroy(handle)
    kafka.rd_kafka_destroy(client)
