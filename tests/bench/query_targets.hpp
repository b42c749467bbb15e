#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <millrace/base/result.hpp>
#include <millrace/postgres/connection.hpp>
#include <millrace/query/v1/query.grpc.pb.h>
#include <millrace/rpc/call.hpp>

/// What the programs of ./dev bench query share.
namespace millrace::bench {

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "query_client: %s\n", what.c_str());
  std::exit(1);
}

template <typename T>
T need(Result<T> result) {
  if (!result.ok()) fail(result.error().message);
  return std::move(result).value();
}

inline void need(const grpc::Status& status) {
  if (!status.ok()) fail(status.error_message());
}

struct Device {
  std::string name;
  std::int32_t key = 0;
};

/// A query-api and the database that it reads, for the same statements without it.
struct Target {
  rpc::ClientOptions options;
  std::unique_ptr<query::v1::QueryService::Stub> stub;
  std::unique_ptr<postgres::Connection> database;
};

using Words = std::vector<std::string>;

/// One Export of [from, to) and the same points by one COPY, alternately; prints points/s of both for each target.
void run_export(std::vector<Target>& targets, int times, const Words& arguments);

/// A Tail for each device. It says `live` when all are open, and once it has read from standard input how many readings
/// were sent and they all came, it prints how late.
void run_tail(const Target& target, const std::vector<Device>& devices);

}  // namespace millrace::bench
