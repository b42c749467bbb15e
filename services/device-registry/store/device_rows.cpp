#include "store/device_rows.hpp"

namespace millrace::registry {

v1::Device device_at(const postgres::Rows& rows, int row) {
  v1::Device device;
  device.set_tenant(std::string(rows.text(row, 0)));
  device.set_device(std::string(rows.text(row, 1)));
  device.set_device_key(static_cast<std::int32_t>(rows.integer(row, 2)));
  device.set_enabled(rows.boolean(row, 3));
  device.set_created_at_us(rows.timestamptz(row, 4));
  device.set_attributes_json(std::string(rows.text(row, 5)));
  device.set_tokens(static_cast<std::int32_t>(rows.integer(row, 6)));
  if (!rows.is_null(row, 7)) device.set_type(std::string(rows.text(row, 7)));
  return device;
}

v1::Entry entry_of(const v1::Device& device) {
  v1::Entry entry;
  v1::DeviceEntry& target = *entry.mutable_device();
  target.set_tenant(device.tenant());
  target.set_device(device.device());
  target.set_device_key(device.device_key());
  target.set_enabled(device.enabled());
  target.set_type(device.type());
  return entry;
}

}  // namespace millrace::registry
