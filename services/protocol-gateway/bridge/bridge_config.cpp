#include "bridge/bridge_config.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <millrace/base/ids.hpp>

namespace millrace::gateway {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxFileBytes = 1024 * 1024;
constexpr std::size_t kMaxBrokers = 64;
constexpr std::size_t kMaxTopics = 256;

/// An object of the file: hands out its members by type, collects what is wrong, and knows which nobody asked for.
class Section {
 public:
  Section(const json& value, std::string place, std::string& faults)
      : value_(value), place_(std::move(place)), faults_(faults) {
    if (!value_.is_object()) fault("", "is no object");
  }

  void fault(const std::string& key, const std::string& what) {
    faults_ += place_ + (key.empty() || place_.empty() ? "" : ".") + key + " " + what + "\n";
  }
  [[nodiscard]] bool has(const char* key) const { return value_.is_object() && value_.contains(key); }
  [[nodiscard]] std::string place_of(const char* key) const { return place_.empty() ? key : place_ + "." + key; }

  const json* member(const char* key) {
    known_.insert(key);
    return has(key) ? &value_[key] : nullptr;
  }
  std::string text(const char* key, const std::string& otherwise = {}) {
    const json* found = member(key);
    if (found == nullptr) return otherwise;
    if (!found->is_string()) {
      fault(key, "is no text");
      return otherwise;
    }
    return found->get<std::string>();
  }
  std::int64_t integer(const char* key, std::int64_t least, std::int64_t most, std::int64_t otherwise) {
    const json* found = member(key);
    if (found == nullptr) return otherwise;
    if (!found->is_number_integer() || *found < least || *found > most) {
      fault(key, "is no integer from " + std::to_string(least) + " to " + std::to_string(most));
      return otherwise;
    }
    return found->get<std::int64_t>();
  }
  /// A file that can be read, or nothing.
  std::string file(const char* key) {
    const std::string path = text(key);
    if (!path.empty() && ::access(path.c_str(), R_OK) != 0) {
      fault(key, "names " + path + ", which cannot be read: " + std::strerror(errno));
    }
    return path;
  }
  void refuse_unknown() {
    if (!value_.is_object()) return;
    for (const auto& item : value_.items()) {
      if (!known_.contains(item.key())) fault(item.key(), "is unknown");
    }
  }

 private:
  const json& value_;
  std::string place_;
  std::string& faults_;
  std::set<std::string> known_;
};

void check_tenant(Section& section, const std::string& tenant) {
  if (auto checked = check_id("tenant id", tenant); !checked.ok()) section.fault("tenant", checked.error().message);
}

std::optional<BridgeTopic> read_topic(Section& section, const std::string& tenant) {
  BridgeTopic topic{.pattern = *TopicPattern::parse("{device}"), .tenant = section.text("tenant", tenant)};
  const bool own_tenant = section.has("tenant");
  topic.qos = static_cast<std::uint8_t>(section.integer("qos", 0, 2, 1));
  const std::string use = section.text("use", "telemetry");
  if (use != "telemetry" && use != "commands") section.fault("use", "'" + use + "' is none of telemetry, commands");
  topic.use = use == "commands" ? BridgeUse::kCommand : BridgeUse::kTelemetry;
  topic.metric_prefix = section.text("metric_prefix");
  if (topic.metric_prefix.size() > 64) section.fault("metric_prefix", "has more than 64 bytes");
  if (!topic.metric_prefix.empty() && topic.use == BridgeUse::kCommand) {
    section.fault("metric_prefix", "has no meaning for commands");
  }
  const std::string text = section.text("pattern");
  auto pattern = TopicPattern::parse(text);
  section.refuse_unknown();
  if (!pattern.ok()) {
    section.fault("pattern", pattern.error().message);
    return std::nullopt;
  }
  topic.pattern = std::move(*pattern);
  if (topic.pattern.has_tenant() && own_tenant) section.fault("tenant", "is given, and the pattern has {tenant}");
  if (!topic.pattern.has_tenant() && topic.tenant.empty()) {
    section.fault("tenant", "is missing: neither the pattern has {tenant} nor is there a tenant for it or its broker");
  } else if (!topic.pattern.has_tenant()) {
    check_tenant(section, topic.tenant);
  }
  return topic;
}

void read_topics(Section& section, BridgeBroker& broker, const std::string& tenant, std::string& faults) {
  const json* topics = section.member("topics");
  if (topics == nullptr) {
    if (tenant.empty()) {
      section.fault("tenant", "is missing: the default topics do not name it");
    } else {
      check_tenant(section, tenant);
    }
    broker.topics = default_topics(tenant);
    return;
  }
  if (!topics->is_array() || topics->empty() || topics->size() > kMaxTopics) {
    section.fault("topics", "is no list of 1 to " + std::to_string(kMaxTopics) + " topics");
    return;
  }
  for (std::size_t i = 0; i < topics->size(); ++i) {
    const std::string place = section.place_of("topics") + "[" + std::to_string(i) + "]";
    Section one((*topics)[i], place, faults);
    auto topic = read_topic(one, tenant);
    if (!topic) continue;
    for (const BridgeTopic& other : broker.topics) {
      if (!other.pattern.overlaps(topic->pattern)) continue;
      one.fault("pattern", "overlaps with '" + other.pattern.filter() + "': a broker may deliver such a message twice");
    }
    broker.topics.push_back(std::move(*topic));
  }
}

void read_address(Section& section, BridgeBroker& broker) {
  const std::string uri = section.text("uri");
  constexpr std::string_view kPlain = "mqtt://";
  constexpr std::string_view kTls = "mqtts://";
  broker.tls = uri.starts_with(kTls);
  const auto address = parse_address(uri.substr(std::min(uri.size(), broker.tls ? kTls.size() : kPlain.size())));
  if ((!broker.tls && !uri.starts_with(kPlain)) || !address.ok()) {
    section.fault("uri", "'" + uri + "' is neither mqtt://host:port nor mqtts://host:port");
    return;
  }
  broker.address = *address;
}

void read_identity(Section& section, BridgeBroker& broker, const std::string& host) {
  broker.client_id = section.text("client_id");
  constexpr std::string_view kHost = "{host}";
  if (const auto at = broker.client_id.find(kHost); at != std::string::npos) {
    broker.client_id.replace(at, kHost.size(), host);
  }
  if (broker.client_id.empty() || broker.client_id.size() > 256) {
    section.fault("client_id", "has not 1 to 256 bytes: the broker knows the session by it");
  }
  // Paho names a file after it.
  if (broker.client_id.find('/') != std::string::npos) section.fault("client_id", "has a slash");
  broker.user = section.text("user");
  broker.password_file = section.file("password_file");
  if (!broker.password_file.empty() && broker.user.empty()) section.fault("password_file", "is given without user");
  broker.ca_file = section.file("ca_file");
  broker.certificate_file = section.file("certificate_file");
  broker.key_file = section.file("key_file");
  if (broker.certificate_file.empty() != broker.key_file.empty()) {
    section.fault("certificate_file", "and key_file are given both or not at all");
  }
  if (!broker.tls) {
    for (const char* key : {"ca_file", "certificate_file", "key_file"}) {
      if (section.has(key)) section.fault(key, "has a meaning for mqtts:// only");
    }
  }
}

BridgeBroker read_broker(Section& section, const std::string& host, std::string& faults) {
  BridgeBroker broker;
  broker.name = section.text("name");
  if (auto checked = check_id("name", broker.name); !checked.ok()) section.fault("name", checked.error().message);
  read_address(section, broker);
  const std::string version = section.text("version", "5");
  if (version != "5" && version != "3.1.1") section.fault("version", "'" + version + "' is neither 5 nor 3.1.1");
  broker.version5 = version == "5";
  read_identity(section, broker, host);
  broker.keep_alive = std::chrono::seconds(section.integer("keep_alive_s", 5, 3600, 60));
  broker.session_expiry_s = static_cast<std::uint32_t>(section.integer("session_expiry_s", 1, 4'294'967'295, 86'400));
  if (!broker.version5 && section.has("session_expiry_s")) {
    section.fault("session_expiry_s", "is not known to version 3.1.1: the broker decides how long it keeps a session");
  }
  broker.open_for = std::chrono::seconds(section.integer("open_s", 1, 3600, 30));
  broker.share = section.text("share");
  if (broker.share.find_first_of("/+#") != std::string::npos || broker.share.size() > 256) {
    section.fault("share", "'" + broker.share + "' is no name of a group");
  }
  read_topics(section, broker, section.text("tenant"), faults);
  section.refuse_unknown();
  return broker;
}

void check_unique(const std::vector<BridgeBroker>& brokers, std::string& faults) {
  std::set<std::string> names;
  std::set<std::string> sessions;
  for (std::size_t i = 0; i < brokers.size(); ++i) {
    const std::string place = "brokers[" + std::to_string(i) + "].";
    if (!names.insert(brokers[i].name).second) faults += place + "name '" + brokers[i].name + "' is there twice\n";
    if (!sessions.insert(brokers[i].address.to_string() + " " + brokers[i].client_id).second) {
      faults +=
          place + "client_id '" + brokers[i].client_id + "' is there twice for one broker: they would end each other\n";
    }
  }
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

}  // namespace

std::string BridgeBroker::filter(const BridgeTopic& topic) const {
  return share.empty() ? topic.pattern.filter() : "$share/" + share + "/" + topic.pattern.filter();
}

Result<std::vector<BridgeBroker>> parse_bridge_config(std::string_view text, const std::string& host) {
  json document;
  try {
    document = json::parse(text);
  } catch (const json::exception& error) {
    return Error{ErrorKind::kInvalid, std::string("is not JSON: ") + error.what() + "\n"};
  }
  std::string faults;
  std::vector<BridgeBroker> brokers;
  Section root(document, "", faults);
  const json* list = root.member("brokers");
  root.refuse_unknown();
  if (list == nullptr || !list->is_array() || list->empty() || list->size() > kMaxBrokers) {
    faults += "brokers is no list of 1 to " + std::to_string(kMaxBrokers) + " brokers\n";
  } else {
    for (std::size_t i = 0; i < list->size(); ++i) {
      Section section((*list)[i], "brokers[" + std::to_string(i) + "]", faults);
      brokers.push_back(read_broker(section, host, faults));
    }
    check_unique(brokers, faults);
  }
  if (!faults.empty()) return Error{ErrorKind::kInvalid, faults};
  return brokers;
}

Result<std::vector<BridgeBroker>> read_bridge_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{ErrorKind::kInvalid, path + " cannot be read: " + std::strerror(errno) + "\n"};
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMaxFileBytes) return Error{ErrorKind::kInvalid, path + " has more than 1 MiB\n"};
  auto brokers = parse_bridge_config(text, host_name());
  if (brokers.ok()) return brokers;
  std::string faults;
  std::istringstream lines(brokers.error().message);
  for (std::string line; std::getline(lines, line);) faults += path + ": " + line + "\n";
  return Error{ErrorKind::kInvalid, faults};
}

}  // namespace millrace::gateway
