#include "presence/state_folder.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <millrace/base/digest.hpp>
#include <millrace/base/ids.hpp>

namespace millrace::gateway {
namespace {

constexpr std::size_t kNameBytes = 6;

Error failed(const std::string& what, const std::string& path) {
  return Error{ErrorKind::kUnavailable, what + " " + path + ": " + std::strerror(errno)};
}

Status write_name(const std::string& path, const std::string& name) {
  const std::string temporary = path + ".new";
  {
    std::ofstream file(temporary, std::ios::trunc);
    file << name << '\n';
    file.flush();
    if (!file) return failed("cannot write", temporary);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return failed("cannot replace", path);
  return {};
}

Result<std::string> kept_name(const std::string& folder) {
  const std::string path = folder + "/name";
  std::ifstream file(path);
  if (!file) {
    const std::string drawn = "gw-" + to_hex(random_bytes(kNameBytes));
    if (auto written = write_name(path, drawn); !written.ok()) return written.error();
    return drawn;
  }
  std::string name;
  std::getline(file, name);
  if (!is_valid_id(name)) return Error{ErrorKind::kCorrupt, path + " holds no name; remove it to have one drawn"};
  return name;
}

}  // namespace

StateFolder::~StateFolder() { ::close(lock_); }

Result<std::unique_ptr<StateFolder>> StateFolder::open(const std::string& folder, const std::string& wanted) {
  if (!wanted.empty()) {
    if (auto status = check_id("gateway name", wanted); !status.ok()) return status.error();
  }
  const std::string lock_path = folder + "/lock";
  const int lock = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return failed("cannot open", lock_path);
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const Error error{ErrorKind::kUnavailable,
                      folder + " is in use by another gateway; give each its own state folder"};
    ::close(lock);
    return error;
  }
  auto name = wanted.empty() ? kept_name(folder) : Result<std::string>(wanted);
  if (!name.ok()) {
    ::close(lock);
    return name.error();
  }
  return std::unique_ptr<StateFolder>(new StateFolder(lock, std::move(*name)));
}

}  // namespace millrace::gateway
