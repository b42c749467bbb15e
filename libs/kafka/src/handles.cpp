#include "handles.hpp"

#include <array>
#include <cstdlib>

#include <millrace/observability/log.hpp>

namespace millrace::kafka {

namespace {

namespace obs = millrace::observability;

/// librdkafka repeats "connection refused" for each try: one line per ten seconds is enough.
void forward_log(const rd_kafka_t* client, int level, const char* facility, const char* text) {
  static const obs::Logger kLogger("kafka");
  static obs::LogLimiter limiter;
  const char* name = client == nullptr ? "" : rd_kafka_name(client);
  if (level >= 7) {
    kLogger.debug("librdkafka", {{"client", name}, {"facility", facility}, {"text", text}});
  } else if (level >= 5) {
    kLogger.limited(limiter, obs::Level::kInfo, "librdkafka",
                    {{"client", name}, {"facility", facility}, {"text", text}});
  } else {
    kLogger.limited(limiter, obs::Level::kWarn, "librdkafka",
                    {{"client", name}, {"facility", facility}, {"text", text}});
  }
}

}  // namespace

Conf::Conf(const Settings& settings) : settings_(settings), conf_(rd_kafka_conf_new()) {
  rd_kafka_conf_set_log_cb(conf_.get(), forward_log);
  if (settings.bootstrap.empty()) throw std::invalid_argument("kafka: the bootstrap address is empty");
  set("bootstrap.servers", settings.bootstrap);
  set("client.id", settings.client_id);
  set("socket.nagle.disable", "true");
  // A restarted broker is found again within a second, not within ten.
  set("reconnect.backoff.ms", "50");
  set("reconnect.backoff.max.ms", "1000");
  set("topic.metadata.refresh.interval.ms", "30000");
  set("log.connection.close", "false");
}

void Conf::set(const std::string& key, const std::string& value) {
  std::array<char, 512> text{};
  if (rd_kafka_conf_set(conf_.get(), key.c_str(), value.c_str(), text.data(), text.size()) != RD_KAFKA_CONF_OK) {
    throw std::invalid_argument("kafka: " + std::string(text.data()));
  }
}

void Conf::set_default(const std::string& key, const std::string& value) { set(key, value); }

void Conf::fix(const std::string& key, const std::string& value) {
  for (const auto& [name, unused] : settings_.properties) {
    if (name == key) throw std::invalid_argument("kafka: the property " + key + " cannot be changed");
  }
  set(key, value);
}

ClientHandle Conf::make_client(rd_kafka_type_t type) && {
  for (const auto& [key, value] : settings_.properties) set(key, value);
  std::array<char, 512> text{};
  rd_kafka_t* client = rd_kafka_new(type, conf_.get(), text.data(), text.size());
  if (client == nullptr) throw std::invalid_argument("kafka: " + std::string(text.data()));
  static_cast<void>(conf_.release());  // the client owns it now
  return ClientHandle(client);
}

rd_kafka_resp_err_t produce_copy(rd_kafka_t* client, const ProduceCall& call) {
  rd_kafka_headers_t* headers = call.headers.empty() ? nullptr : rd_kafka_headers_new(call.headers.size());
  for (const Header& header : call.headers) {
    rd_kafka_header_add(headers, header.name.data(), static_cast<ssize_t>(header.name.size()), header.value.data(),
                        static_cast<ssize_t>(header.value.size()));
  }
  const std::size_t size = call.value ? call.value->size() : 0;
  // An empty value is not a tombstone: librdkafka tells them apart by the pointer.
  const char* value = call.value ? (size == 0 ? "" : call.value->data()) : nullptr;
// librdkafka's argument macros are C casts.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
  const rd_kafka_resp_err_t code =
      rd_kafka_producev(client, RD_KAFKA_V_TOPIC(call.topic.c_str()), RD_KAFKA_V_PARTITION(call.partition),
                        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(call.key.data(), call.key.size()),
                        RD_KAFKA_V_VALUE(const_cast<char*>(value), size), RD_KAFKA_V_HEADERS(headers),
                        RD_KAFKA_V_OPAQUE(call.opaque), RD_KAFKA_V_END);
#pragma GCC diagnostic pop
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR && headers != nullptr) rd_kafka_headers_destroy(headers);
  return code;
}

ErrorKind kind_of(rd_kafka_resp_err_t code) {
  switch (static_cast<int>(code)) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      return ErrorKind::kNotFound;
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
      return ErrorKind::kAlreadyExists;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
      return ErrorKind::kTooLarge;
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
      return ErrorKind::kInvalid;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
      return ErrorKind::kForbidden;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
      return ErrorKind::kUnauthenticated;
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
      return ErrorKind::kConflict;
    default:
      return ErrorKind::kUnavailable;
  }
}

Error make_error(rd_kafka_resp_err_t code, std::string_view what) {
  return {kind_of(code), std::string(what) + ": " + rd_kafka_err2str(code)};
}

Result<int> count_partitions(rd_kafka_t* client, const std::string& topic, int timeout_ms) {
  const TopicHandle handle(rd_kafka_topic_new(client, topic.c_str(), nullptr));
  const rd_kafka_metadata_t* raw = nullptr;
  const rd_kafka_resp_err_t code = rd_kafka_metadata(client, 0, handle.get(), &raw, timeout_ms);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return make_error(code, "metadata of " + topic);
  const MetadataHandle metadata(raw);
  if (metadata->topic_cnt < 1) return Error{ErrorKind::kNotFound, "there is no topic " + topic};
  const rd_kafka_metadata_topic_t& found = metadata->topics[0];
  if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR) return make_error(found.err, "topic " + topic);
  if (found.partition_cnt < 1) return Error{ErrorKind::kNotFound, "there is no topic " + topic};
  return found.partition_cnt;
}

Result<std::string> read_cluster_id(rd_kafka_t* client, int timeout_ms) {
  char* id = rd_kafka_clusterid(client, timeout_ms);
  if (id == nullptr) return Error{ErrorKind::kUnavailable, "the Kafka cluster did not tell its id in time"};
  std::string text(id);
  rd_kafka_mem_free(client, id);
  return text;
}

}  // namespace millrace::kafka
