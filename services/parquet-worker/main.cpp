#include <csignal>
#include <cstdio>
#include <exception>
#include <string_view>

#include <unistd.h>

#include <millrace/base/version.hpp>

#include "commands.hpp"
#include "object_store.hpp"

namespace {

constexpr const char* kHelp =
    "parquet-worker: writes, checks and reads the Parquet files of archived days,\n"
    "and makes those of exports\n"
    "\n"
    "Started by storage-archiver and query-api, which talk to it through its pipes; it takes one request, answers and\n"
    "ends. It has no settings of its own.\n"
    "\n"
    "  --help, --version\n";

}  // namespace

int main(int argc, char** argv) {
  using namespace millrace;
  const std::string_view argument = argc > 1 ? argv[1] : "";
  if (argument == "--version") {
    std::printf("parquet-worker %s\n", kVersion);
    return 0;
  }
  if (argc > 1 || ::isatty(STDIN_FILENO) == 1) {
    std::fputs(kHelp, argument == "--help" ? stdout : stderr);
    return argument == "--help" ? 0 : 2;
  }
  // A caller that went away is an error of write(), told as such.
  std::signal(SIGPIPE, SIG_IGN);
  parquet_worker::Pipe pipe(STDIN_FILENO, STDOUT_FILENO);
  int code = 0;
  try {
    if (const auto served = parquet_worker::serve(pipe); !served) {
      std::fprintf(stderr, "parquet-worker: %s\n", served.error().message.c_str());
      code = 1;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "parquet-worker: %s\n", error.what());
    code = 1;
  }
  parquet_worker::ObjectStore::shut_down();
  return code;
}
