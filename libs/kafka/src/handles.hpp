#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include <librdkafka/rdkafka.h>

#include <millrace/base/result.hpp>
#include <millrace/kafka/settings.hpp>

namespace millrace::kafka {

/// One holder for every handle of librdkafka, closed by its own destroy function.
template <auto destroy>
struct Destroy {
  template <typename T>
  void operator()(T* handle) const noexcept {
    destroy(handle);
  }
};

using ClientHandle = std::unique_ptr<rd_kafka_t, Destroy<rd_kafka_destroy>>;
using ConfHandle = std::unique_ptr<rd_kafka_conf_t, Destroy<rd_kafka_conf_destroy>>;
using TopicHandle = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>>;
using QueueHandle = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>>;
using EventHandle = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;
using PartitionListHandle =
    std::unique_ptr<rd_kafka_topic_partition_list_t, Destroy<rd_kafka_topic_partition_list_destroy>>;
using NewTopicHandle = std::unique_ptr<rd_kafka_NewTopic_t, Destroy<rd_kafka_NewTopic_destroy>>;
using DeleteTopicHandle = std::unique_ptr<rd_kafka_DeleteTopic_t, Destroy<rd_kafka_DeleteTopic_destroy>>;
using DeleteRecordsHandle = std::unique_ptr<rd_kafka_DeleteRecords_t, Destroy<rd_kafka_DeleteRecords_destroy>>;
using ConfigResourceHandle = std::unique_ptr<rd_kafka_ConfigResource_t, Destroy<rd_kafka_ConfigResource_destroy>>;
using AdminOptionsHandle = std::unique_ptr<rd_kafka_AdminOptions_t, Destroy<rd_kafka_AdminOptions_destroy>>;
using ErrorHandle = std::unique_ptr<rd_kafka_error_t, Destroy<rd_kafka_error_destroy>>;
struct DestroyMetadata {
  void operator()(const rd_kafka_metadata_t* metadata) const noexcept { rd_kafka_metadata_destroy(metadata); }
};
using MetadataHandle = std::unique_ptr<const rd_kafka_metadata_t, DestroyMetadata>;

/// A client's configuration: what all clients share first, then what the class needs (`fixed`), and the user's
/// properties between them, checked not to touch what is fixed.
class Conf {
 public:
  explicit Conf(const Settings& settings);

  /// A default of the class, which the user's properties may override.
  void set_default(const std::string& key, const std::string& value);
  /// What the class relies on; throws std::invalid_argument if the user's properties name it.
  void fix(const std::string& key, const std::string& value);

  rd_kafka_conf_t* get() { return conf_.get(); }

  /// Applies the user's properties and makes the client. Throws std::invalid_argument with librdkafka's words.
  ClientHandle make_client(rd_kafka_type_t type) &&;

 private:
  void set(const std::string& key, const std::string& value);

  const Settings& settings_;
  ConfHandle conf_;
};

/// A record as librdkafka takes it: all bytes are copied.
struct ProduceCall {
  const std::string& topic;
  std::int32_t partition;  ///< kAnyPartition: by the key
  std::string_view key;
  std::optional<std::string_view> value;  ///< none: a tombstone
  std::span<const Header> headers;
  void* opaque = nullptr;
};
[[nodiscard]] rd_kafka_resp_err_t produce_copy(rd_kafka_t* client, const ProduceCall& call);

/// How a response code of the broker or of librdkafka reads as ErrorKind, for calls that did nothing.
[[nodiscard]] ErrorKind kind_of(rd_kafka_resp_err_t code);

/// `what: librdkafka's text`.
[[nodiscard]] Error make_error(rd_kafka_resp_err_t code, std::string_view what);

/// Partition count of an existing topic.
[[nodiscard]] Result<int> count_partitions(rd_kafka_t* client, const std::string& topic, int timeout_ms);

[[nodiscard]] Result<std::string> read_cluster_id(rd_kafka_t* client, int timeout_ms);

}  // namespace millrace::kafka
