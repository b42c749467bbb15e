#include "fleet_app.hpp"

int main(int argc, char** argv) {
  millrace::fleet::FleetOptions options;
  switch (millrace::fleet::parse_options(argc, argv, options)) {
    case millrace::fleet::Parsed::kRun:
      return millrace::fleet::run_fleet(options);
    case millrace::fleet::Parsed::kExitOk:
      return 0;
    case millrace::fleet::Parsed::kExitUsage:
      return 2;
  }
  return 2;
}
