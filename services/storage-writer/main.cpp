#include <cstdio>

#include <malloc.h>

#include <millrace/base/version.hpp>
#include <millrace/runtime/healthcheck.hpp>
#include <millrace/runtime/lifecycle.hpp>

#include "storage_writer_app.hpp"

namespace {

// Batches of some megabytes come and go many times a second: to give their pages back and to ask for them again costs
// more than to keep them.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 128 << 20);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace millrace;
  keep_freed_memory();
  runtime::block_signals();
  const auto line =
      config::parse_command_line(writer::option_table(), argc, argv, config::process_environment(), kVersion);
  if (!line.invocation) return line.exit_code;
  const writer::Config config = writer::read_config(line.invocation->values);
  if (line.invocation->command == runtime::kHealthcheck.name) return runtime::healthcheck(config.ops);
  observability::init_logging({"storage-writer", config.log_level});
  if (line.invocation->command == "migrate") return writer::migrate(config);
  try {
    writer::StorageWriterApp app(config);
    return runtime::run(app, config.stop_deadline);
  } catch (const std::exception& error) {
    observability::Logger("main").error("cannot start", {{"error", error.what()}});
    return 1;
  }
}
