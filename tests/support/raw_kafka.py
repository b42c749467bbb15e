"""Bytes straight into a topic, past everything that the project checks: librdkafka through ctypes."""
import ctypes

_PRODUCER, _COPY, _ANY_PARTITION = 0, 2, -1


def put(bootstrap, topic, values, timeout_ms=60_000):
    """Produces the values without keys and waits until the broker has them."""
    kafka = ctypes.CDLL("librdkafka.so.1")
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_topic_new"):
        getattr(kafka, name).restype = ctypes.c_void_p
    conf = ctypes.c_void_p(kafka.rd_kafka_conf_new())
    text = ctypes.create_string_buffer(512)
    assert kafka.rd_kafka_conf_set(conf, b"bootstrap.servers", bootstrap.encode(), text, 512) == 0, text.value
    client = ctypes.c_void_p(kafka.rd_kafka_new(_PRODUCER, conf, text, 512))
    assert client.value, text.value
    handle = ctypes.c_void_p(kafka.rd_kafka_topic_new(client, topic.encode(), None))
    for value in values:
        assert kafka.rd_kafka_produce(handle, ctypes.c_int32(_ANY_PARTITION), _COPY, value, ctypes.c_size_t(len(value)), None,
                                      ctypes.c_size_t(0), None) == 0
    assert kafka.rd_kafka_flush(client, timeout_ms) == 0, "not everything was produced"
    kafka.rd_kafka_topic_destroy(handle)
    kafka.rd_kafka_destroy(client)
