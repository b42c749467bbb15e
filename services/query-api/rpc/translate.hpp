#pragma once

#include <millrace/telemetry/batch.hpp>

#include "millrace/query/v1/query.pb.h"

namespace millrace::query_api {

void fill(const telemetry::Value& value, millrace::telemetry::v1::Value& out);

}  // namespace millrace::query_api
