#include <algorithm>
#include <set>
#include <unordered_map>

#include <millrace/base/digest.hpp>

#include "store/device_rows.hpp"
#include "store/devices.hpp"
#include "store/outbox.hpp"

namespace millrace::registry {
namespace {

using postgres::Connection;
using postgres::Params;

struct Created {
  v1::CreateDeviceResponse response;
  std::string sha256;
  bool token_taken = false;  // by another device
};

/// The devices of one call on their way through the tables.
class Creation {
 public:
  Creation(Connection& connection, const std::string& tenant, std::span<const NewDevice> devices)
      : connection_(connection), tenant_(tenant), devices_(devices) {}

  Result<std::vector<Result<v1::CreateDeviceResponse>>> run() {
    for (const auto step :
         {&Creation::check_tenant, &Creation::find_types, &Creation::insert_devices, &Creation::insert_tokens,
          &Creation::take_back, &Creation::find_repeated, &Creation::publish}) {
      if (auto status = (this->*step)(); !status.ok()) return status.error();
    }
    return answers();
  }

 private:
  Status check_tenant() {
    auto exists = connection_.exec("SELECT 1 FROM registry.tenant WHERE tenant = $1 FOR SHARE", Params{}.text(tenant_));
    if (!exists.ok()) return exists.error();
    if (exists->empty()) return Error{ErrorKind::kNotFound, "there is no tenant '" + tenant_ + "'"};
    return {};
  }

  /// Those that are named; they stay until the transaction ends.
  Status find_types() {
    std::set<std::string> named;
    for (const NewDevice& device : devices_) {
      if (!device.type.empty()) named.insert(device.type);
    }
    if (named.empty()) return {};
    const std::vector<std::string> names(named.begin(), named.end());
    auto known = connection_.exec(
        "SELECT type FROM registry.device_type WHERE tenant = $1 AND type = ANY($2::text[]) ORDER BY type"
        " FOR KEY SHARE",
        Params{}.text(tenant_).text_array(names));
    if (!known.ok()) return known.error();
    for (int i = 0; i < known->size(); ++i) types_.emplace(known->text(i, 0));
    return {};
  }
  bool type_known(const NewDevice& device) const { return device.type.empty() || types_.contains(device.type); }

  Status insert_devices() {
    std::vector<std::string> names;
    std::vector<std::string> attributes;
    std::vector<std::string> types;
    for (const NewDevice& device : devices_) {
      if (!type_known(device)) continue;
      names.push_back(device.device);
      attributes.push_back(device.attributes_json.empty() ? "{}" : device.attributes_json);
      types.push_back(device.type);
    }
    // Those that exist are left out before a key is drawn for them: an import that is repeated uses up none.
    auto made = connection_.exec(
        "INSERT INTO registry.device (device_key, tenant, device, attributes, type)"
        " SELECT nextval('registry.device_key_seq')::int4, $1, n.device, n.attributes::jsonb, nullif(n.type, '')"
        " FROM unnest($2::text[], $3::text[], $4::text[]) AS n(device, attributes, type)"
        " WHERE NOT EXISTS (SELECT FROM registry.device d WHERE d.tenant = $1 AND d.device = n.device)"
        " ON CONFLICT (tenant, device) DO NOTHING"
        " RETURNING tenant, device, device_key, enabled, created_at, attributes::text, 1::int8, type",
        Params{}.text(tenant_).text_array(names).text_array(attributes).text_array(types));
    if (!made.ok()) return made.error();
    for (int i = 0; i < made->size(); ++i) {
      v1::Device device = device_at(*made, i);
      std::string name = device.device();
      *created_[std::move(name)].response.mutable_device() = std::move(device);
    }
    return {};
  }

  Status insert_tokens() {
    std::vector<std::int32_t> keys;
    std::vector<std::string> digests;
    for (const NewDevice& device : devices_) {
      const auto found = created_.find(device.device);
      // The same name twice in one call: the token is that of the first.
      if (found == created_.end() || !found->second.sha256.empty()) continue;
      Created& one = found->second;
      one.sha256 = device.token_sha256;
      if (one.sha256.empty()) {
        one.response.set_token(new_token());
        one.sha256 = bytes_of(sha256(one.response.token()));
      }
      in_order_.push_back(&one);
      keys.push_back(one.response.device().device_key());
      digests.push_back(to_hex(one.sha256));
    }
    if (keys.empty()) return {};
    auto stored = connection_.exec(
        "INSERT INTO registry.device_token (device_key, sha256)"
        " SELECT n.device_key, decode(n.digest, 'hex') FROM unnest($1::int4[], $2::text[]) AS n(device_key, digest)"
        " ON CONFLICT (sha256) DO NOTHING RETURNING device_key",
        Params{}.int4_array(keys).text_array(digests));
    if (!stored.ok()) return stored.error();
    std::vector<std::int32_t> with_token;
    for (int i = 0; i < stored->size(); ++i) with_token.push_back(static_cast<std::int32_t>(stored->integer(i, 0)));
    std::ranges::sort(with_token);
    for (Created* one : in_order_)
      one->token_taken = !std::ranges::binary_search(with_token, one->response.device().device_key());
    return {};
  }

  /// A device whose token is another's is not made.
  Status take_back() {
    std::vector<std::int32_t> keys;
    for (const Created* one : in_order_) {
      if (one->token_taken) keys.push_back(one->response.device().device_key());
    }
    if (keys.empty()) return {};
    auto gone =
        connection_.exec("DELETE FROM registry.device WHERE device_key = ANY($1::int4[])", Params{}.int4_array(keys));
    if (!gone.ok()) return gone.error();
    std::erase_if(in_order_, [](const Created* one) { return one->token_taken; });
    return {};
  }

  /// Devices that an earlier call made with the very token that this one brings.
  Status find_repeated() {
    std::vector<std::string> names;
    std::vector<std::string> digests;
    for (const NewDevice& device : devices_) {
      if (device.token_sha256.empty() || created_.contains(device.device)) continue;
      names.push_back(device.device);
      digests.push_back(to_hex(device.token_sha256));
    }
    if (names.empty()) return {};
    auto rows = connection_.exec(
        "SELECT d.tenant, d.device, d.device_key, d.enabled, d.created_at, d.attributes::text,"
        " (SELECT count(*) FROM registry.device_token t WHERE t.device_key = d.device_key AND t.credential IS NULL),"
        " d.type FROM unnest($2::text[], $3::text[]) AS n(device, digest)"
        " JOIN registry.device_token g ON g.sha256 = decode(n.digest, 'hex') AND g.credential IS NULL"
        " JOIN registry.device d ON d.device_key = g.device_key AND d.tenant = $1 AND d.device = n.device",
        Params{}.text(tenant_).text_array(names).text_array(digests));
    if (!rows.ok()) return rows.error();
    for (int i = 0; i < rows->size(); ++i) {
      v1::Device device = device_at(*rows, i);
      std::string name = device.device();
      repeated_.emplace(std::move(name), std::move(device));
    }
    return {};
  }

  Status publish() {
    std::vector<OutboxEntry> entries;
    std::int32_t highest = 0;
    for (const Created* one : in_order_) {
      const v1::Device& device = one->response.device();
      highest = std::max(highest, device.device_key());
      entries.push_back({device_entry_key(device.tenant(), device.device()), entry_of(device)});
      entries.back().entry.mutable_device()->add_token_sha256(one->sha256);
    }
    if (entries.empty()) return {};
    // So that a restored registry knows the keys of devices that are deleted by then.
    entries.push_back({"sequence/device", {}});
    entries.back().entry.mutable_sequence()->set_highest_device_key(highest);
    return Outbox(connection_).put_all(std::move(entries));
  }

  Result<v1::CreateDeviceResponse> answer_for(const NewDevice& device) {
    const Error exists{ErrorKind::kAlreadyExists, "device '" + device.device + "' exists already"};
    if (const auto found = created_.find(device.device); found != created_.end()) {
      Created& one = found->second;
      if (one.token_taken) return Error{ErrorKind::kConflict, "its token is another device's"};
      const bool same_token = !device.token_sha256.empty() && device.token_sha256 == one.sha256;
      if (one.response.existed() && !same_token) return exists;
      v1::CreateDeviceResponse answer = one.response;
      // The same name twice in one call: for the second one it is there already.
      one.response.set_existed(true);
      one.response.clear_token();
      return answer;
    }
    const auto known = repeated_.find(device.device);
    if (known == repeated_.end()) {
      if (type_known(device)) return exists;
      return Error{ErrorKind::kNotFound, "there is no device type '" + device.type + "' in tenant " + tenant_};
    }
    v1::CreateDeviceResponse answer;
    *answer.mutable_device() = known->second;
    answer.set_existed(true);
    return answer;
  }

  std::vector<Result<v1::CreateDeviceResponse>> answers() {
    std::vector<Result<v1::CreateDeviceResponse>> all;
    all.reserve(devices_.size());
    for (const NewDevice& device : devices_) all.push_back(answer_for(device));
    return all;
  }

  Connection& connection_;
  const std::string& tenant_;
  const std::span<const NewDevice> devices_;
  std::set<std::string> types_;
  std::unordered_map<std::string, Created> created_;
  std::vector<Created*> in_order_;  // of the call
  std::unordered_map<std::string, v1::Device> repeated_;
};

}  // namespace

Result<std::vector<Result<v1::CreateDeviceResponse>>> create_devices(Connection& connection, const std::string& tenant,
                                                                     std::span<const NewDevice> devices) {
  return Creation(connection, tenant, devices).run();
}

}  // namespace millrace::registry
