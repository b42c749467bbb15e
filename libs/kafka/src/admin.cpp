#include <algorithm>
#include <array>
#include <utility>

#include <millrace/kafka/admin.hpp>

#include "handles.hpp"

namespace millrace::kafka {

namespace {

using std::chrono::milliseconds;

constexpr std::string_view kNeverForced = "9223372036854775807";

int to_ms(milliseconds timeout) { return static_cast<int>(std::max<std::int64_t>(timeout.count(), 1)); }

AdminOptionsHandle options_for(rd_kafka_t* client, rd_kafka_admin_op_t operation, milliseconds timeout) {
  AdminOptionsHandle options(rd_kafka_AdminOptions_new(client, operation));
  std::array<char, 256> text{};
  rd_kafka_AdminOptions_set_request_timeout(options.get(), to_ms(timeout), text.data(), text.size());
  if (operation == RD_KAFKA_ADMIN_OP_CREATETOPICS || operation == RD_KAFKA_ADMIN_OP_DELETETOPICS) {
    rd_kafka_AdminOptions_set_operation_timeout(options.get(), to_ms(timeout), text.data(), text.size());
  }
  return options;
}

/// The answer of an operation that was sent to `queue`; the request's own time-out ends it, a second more is slack.
Result<EventHandle> await(rd_kafka_queue_t* queue, milliseconds timeout, std::string_view what) {
  EventHandle event(rd_kafka_queue_poll(queue, to_ms(timeout) + 1000));
  if (event == nullptr) return Error{ErrorKind::kUnavailable, std::string(what) + ": no broker answered in time"};
  const rd_kafka_resp_err_t code = rd_kafka_event_error(event.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return Error{kind_of(code), std::string(what) + ": " + rd_kafka_event_error_string(event.get())};
  }
  return event;
}

void add_entries(const rd_kafka_ConfigEntry_t** entries, std::size_t count,
                 std::map<std::string, std::string>& configs) {
  for (std::size_t i = 0; i < count; ++i) {
    const char* value = rd_kafka_ConfigEntry_value(entries[i]);
    configs[rd_kafka_ConfigEntry_name(entries[i])] = value == nullptr ? "" : value;
  }
}

}  // namespace

std::string TopicDescription::config(const std::string& key) const {
  const auto found = configs.find(key);
  return found == configs.end() ? std::string() : found->second;
}

std::string TopicDescription::durability() const {
  const std::string messages = config("flush.messages");
  const std::string interval = config("flush.ms");
  const bool by_messages = !messages.empty() && messages != kNeverForced;
  const bool by_time = !interval.empty() && interval != kNeverForced;
  std::string flush = "flush left to the operating system";
  if (by_messages || by_time) {
    flush = "flush";
    if (by_messages) flush += " every " + messages + " messages";
    if (by_time) flush += " every " + interval + " ms";
  }
  return "replication factor " + std::to_string(replication) + ", min.insync.replicas " +
         config("min.insync.replicas") + ", " + flush;
}

std::vector<TopicDifference> compare(std::span<const TopicSpec> wanted, std::span<const TopicDescription> found) {
  std::vector<TopicDifference> differences;
  for (const TopicSpec& spec : wanted) {
    const auto topic =
        std::find_if(found.begin(), found.end(), [&](const TopicDescription& d) { return d.name == spec.name; });
    if (topic == found.end()) {
      differences.push_back({spec.name, "topic", "exists", ""});
      continue;
    }
    if (topic->partitions != spec.partitions) {
      differences.push_back(
          {spec.name, "partitions", std::to_string(spec.partitions), std::to_string(topic->partitions)});
    }
    if (topic->replication != spec.replication) {
      differences.push_back(
          {spec.name, "replication", std::to_string(spec.replication), std::to_string(topic->replication)});
    }
    for (const auto& [key, value] : spec.configs) {
      if (topic->config(key) != value) differences.push_back({spec.name, key, value, topic->config(key)});
    }
  }
  return differences;
}

struct Admin::Impl {
  ClientHandle client;

  [[nodiscard]] QueueHandle make_queue() const { return QueueHandle(rd_kafka_queue_new(client.get())); }

  /// Configs of one topic; `only_own`: those that were set for it, without defaults.
  Result<std::map<std::string, std::string>> configs_of(const std::string& topic, milliseconds timeout,
                                                        bool only_own) const {
    const QueueHandle queue = make_queue();
    const ConfigResourceHandle resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
    const AdminOptionsHandle options = options_for(client.get(), RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout);
    rd_kafka_ConfigResource_t* resources[] = {resource.get()};
    rd_kafka_DescribeConfigs(client.get(), resources, 1, options.get(), queue.get());
    Result<EventHandle> event = await(queue.get(), timeout, "configs of " + topic);
    if (!event) return event.error();
    std::size_t count = 0;
    const rd_kafka_ConfigResource_t** answers =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event->get()), &count);
    std::map<std::string, std::string> configs;
    for (std::size_t i = 0; i < count; ++i) {
      const rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(answers[i]);
      if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return make_error(code, "configs of " + topic);
      std::size_t entry_count = 0;
      const rd_kafka_ConfigEntry_t** entries = rd_kafka_ConfigResource_configs(answers[i], &entry_count);
      if (!only_own) {
        add_entries(entries, entry_count, configs);
        continue;
      }
      for (std::size_t j = 0; j < entry_count; ++j) {
        if (rd_kafka_ConfigEntry_source(entries[j]) == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG) {
          add_entries(entries + j, 1, configs);
        }
      }
    }
    return configs;
  }
};

Admin::Admin(const Settings& settings) : impl_(std::make_unique<Impl>()) {
  impl_->client = Conf(settings).make_client(RD_KAFKA_PRODUCER);
}

Admin::~Admin() = default;

Result<std::vector<std::string>> Admin::create_missing(std::span<const TopicSpec> wanted, milliseconds timeout) {
  std::vector<std::string> created;
  std::vector<NewTopicHandle> topics;
  std::vector<rd_kafka_NewTopic_t*> raw;
  for (const TopicSpec& spec : wanted) {
    std::array<char, 256> text{};
    topics.emplace_back(
        rd_kafka_NewTopic_new(spec.name.c_str(), spec.partitions, spec.replication, text.data(), text.size()));
    if (topics.back() == nullptr) return Error{ErrorKind::kInvalid, "topic " + spec.name + ": " + text.data()};
    for (const auto& [key, value] : spec.configs) {
      rd_kafka_NewTopic_set_config(topics.back().get(), key.c_str(), value.c_str());
    }
    raw.push_back(topics.back().get());
  }
  if (raw.empty()) return created;
  const QueueHandle queue = impl_->make_queue();
  const AdminOptionsHandle options = options_for(impl_->client.get(), RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout);
  rd_kafka_CreateTopics(impl_->client.get(), raw.data(), raw.size(), options.get(), queue.get());
  Result<EventHandle> event = await(queue.get(), timeout, "create topics");
  if (!event) return event.error();
  std::size_t count = 0;
  const rd_kafka_topic_result_t** answers =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event->get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    const rd_kafka_resp_err_t code = rd_kafka_topic_result_error(answers[i]);
    const std::string name = rd_kafka_topic_result_name(answers[i]);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
      created.push_back(name);
    } else if (code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
      const char* text = rd_kafka_topic_result_error_string(answers[i]);
      return Error{kind_of(code), "create topic " + name + ": " + (text == nullptr ? rd_kafka_err2str(code) : text)};
    }
  }
  return created;
}

Status Admin::set_configs(const std::string& topic, const std::map<std::string, std::string>& configs,
                          milliseconds timeout) {
  // librdkafka 2.0.2 only knows AlterConfigs, which resets whatever it does not name: so name all that was set before.
  Result<std::map<std::string, std::string>> all = impl_->configs_of(topic, timeout, true);
  if (!all) return all.error();
  for (const auto& [key, value] : configs) (*all)[key] = value;
  const ConfigResourceHandle resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  for (const auto& [key, value] : *all) rd_kafka_ConfigResource_set_config(resource.get(), key.c_str(), value.c_str());
  const QueueHandle queue = impl_->make_queue();
  const AdminOptionsHandle options = options_for(impl_->client.get(), RD_KAFKA_ADMIN_OP_ALTERCONFIGS, timeout);
  rd_kafka_ConfigResource_t* resources[] = {resource.get()};
  rd_kafka_AlterConfigs(impl_->client.get(), resources, 1, options.get(), queue.get());
  Result<EventHandle> event = await(queue.get(), timeout, "set configs of " + topic);
  if (!event) return event.error();
  std::size_t count = 0;
  const rd_kafka_ConfigResource_t** answers =
      rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event->get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    const rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(answers[i]);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return make_error(code, "set configs of " + topic);
  }
  return {};
}

Result<std::vector<TopicDescription>> Admin::describe(std::span<const std::string> names, milliseconds timeout) {
  const rd_kafka_metadata_t* raw = nullptr;
  const rd_kafka_resp_err_t code = rd_kafka_metadata(impl_->client.get(), 1, nullptr, &raw, to_ms(timeout));
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return make_error(code, "metadata");
  const MetadataHandle metadata(raw);
  std::vector<TopicDescription> descriptions;
  for (const rd_kafka_metadata_topic_t& topic :
       std::span(metadata->topics, static_cast<std::size_t>(metadata->topic_cnt))) {
    if (std::find(names.begin(), names.end(), topic.topic) == names.end()) continue;
    TopicDescription description;
    description.name = topic.topic;
    description.partitions = topic.partition_cnt;
    for (int i = 0; i < topic.partition_cnt; ++i) {
      const int replicas = topic.partitions[i].replica_cnt;
      description.replication = i == 0 ? replicas : std::min(description.replication, replicas);
    }
    Result<std::map<std::string, std::string>> configs = impl_->configs_of(description.name, timeout, false);
    if (!configs) return configs.error();
    description.configs = std::move(configs.value());
    descriptions.push_back(std::move(description));
  }
  return descriptions;
}

Result<int> Admin::partitions(const std::string& topic, milliseconds timeout) {
  return count_partitions(impl_->client.get(), topic, to_ms(timeout));
}

Result<std::string> Admin::cluster_id(milliseconds timeout) {
  return read_cluster_id(impl_->client.get(), to_ms(timeout));
}

Result<Watermarks> Admin::watermarks(const TopicPartition& where, milliseconds timeout) {
  Watermarks marks;
  const rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
      impl_->client.get(), where.topic.c_str(), where.partition, &marks.low, &marks.high, to_ms(timeout));
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return make_error(code, "watermarks of " + where.topic);
  return marks;
}

Result<std::int64_t> Admin::delete_records(const TopicPartition& where, std::int64_t offset, milliseconds timeout) {
  const PartitionListHandle list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(list.get(), where.topic.c_str(), where.partition)->offset = offset;
  const DeleteRecordsHandle request(rd_kafka_DeleteRecords_new(list.get()));
  const QueueHandle queue = impl_->make_queue();
  const AdminOptionsHandle options = options_for(impl_->client.get(), RD_KAFKA_ADMIN_OP_DELETERECORDS, timeout);
  rd_kafka_DeleteRecords_t* requests[] = {request.get()};
  rd_kafka_DeleteRecords(impl_->client.get(), requests, 1, options.get(), queue.get());
  Result<EventHandle> event = await(queue.get(), timeout, "delete records of " + where.topic);
  if (!event) return event.error();
  const rd_kafka_topic_partition_list_t* answer =
      rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event->get()));
  if (answer == nullptr || answer->cnt != 1) return Error{ErrorKind::kInternal, "delete records: an empty answer"};
  if (answer->elems[0].err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return make_error(answer->elems[0].err, "delete records of " + where.topic);
  }
  return answer->elems[0].offset;
}

Status Admin::delete_topics(std::span<const std::string> names, milliseconds timeout) {
  std::vector<DeleteTopicHandle> topics;
  std::vector<rd_kafka_DeleteTopic_t*> raw;
  for (const std::string& name : names) {
    topics.emplace_back(rd_kafka_DeleteTopic_new(name.c_str()));
    raw.push_back(topics.back().get());
  }
  if (raw.empty()) return {};
  const QueueHandle queue = impl_->make_queue();
  const AdminOptionsHandle options = options_for(impl_->client.get(), RD_KAFKA_ADMIN_OP_DELETETOPICS, timeout);
  rd_kafka_DeleteTopics(impl_->client.get(), raw.data(), raw.size(), options.get(), queue.get());
  Result<EventHandle> event = await(queue.get(), timeout, "delete topics");
  if (!event) return event.error();
  std::size_t count = 0;
  const rd_kafka_topic_result_t** answers =
      rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event->get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    const rd_kafka_resp_err_t code = rd_kafka_topic_result_error(answers[i]);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return make_error(code, rd_kafka_topic_result_name(answers[i]));
  }
  return {};
}

}  // namespace millrace::kafka
