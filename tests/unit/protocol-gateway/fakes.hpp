#pragma once

#include <memory>
#include <vector>

#include "ingest/publisher.hpp"

namespace millrace::gateway {

class FakePublisher final : public RecordPublisher {
 public:
  [[nodiscard]] const telemetry::StartId& start_id() const override { return start_; }
  [[nodiscard]] bool accepting() const override { return accepts; }
  [[nodiscard]] Status submit(std::unique_ptr<InFlight> record) override {
    if (fails) return Error{ErrorKind::kUnavailable, "away"};
    records.push_back(std::move(record));
    return {};
  }
  std::vector<std::unique_ptr<InFlight>> records;
  bool fails = false;
  bool accepts = true;

 private:
  telemetry::StartId start_{1, 2, 3};
};

class FakeRefused final : public RefusedPayloads {
 public:
  [[nodiscard]] Status keep(Refused refused) override {
    kept.push_back(std::move(refused));
    return {};
  }
  std::vector<Refused> kept;
};

}  // namespace millrace::gateway
