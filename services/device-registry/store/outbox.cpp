#include "store/outbox.hpp"

namespace millrace::registry {
namespace {

// Any number that nothing else in this database locks.
constexpr const char* kLock = "SELECT pg_advisory_xact_lock(7813571436810)";

}  // namespace

std::string tenant_entry_key(const std::string& tenant) { return "tenant/" + tenant; }
std::string device_entry_key(const std::string& tenant, const std::string& device) {
  return "device/" + tenant + "/" + device;
}
std::string api_key_entry_key(const std::string& key_id) { return "key/" + key_id; }

Result<std::int64_t> Outbox::next_id() {
  if (!locked_) {
    if (auto locked = connection_.exec(kLock); !locked.ok()) return locked.error();
    locked_ = true;
  }
  auto id = connection_.exec("SELECT nextval('registry.outbox_seq')");
  if (!id.ok()) return id.error();
  return id->integer(0, 0);
}

Status Outbox::put(const std::string& key, v1::Entry entry) {
  const auto id = next_id();
  if (!id.ok()) return id.error();
  entry.set_revision(*id);
  auto done = connection_.exec("INSERT INTO registry.outbox (id, key, value) VALUES ($1::int8, $2, $3::bytea)",
                               postgres::Params{}.integer(*id).text(key).bytea(entry.SerializeAsString()));
  return done.ok() ? Status{} : Status(done.error());
}

Status Outbox::remove(const std::string& key) {
  const auto id = next_id();
  if (!id.ok()) return id.error();
  auto done = connection_.exec("INSERT INTO registry.outbox (id, key) VALUES ($1::int8, $2)",
                               postgres::Params{}.integer(*id).text(key));
  return done.ok() ? Status{} : Status(done.error());
}

}  // namespace millrace::registry
