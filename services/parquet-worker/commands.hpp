#pragma once

#include "pipe.hpp"

namespace millrace::parquet_worker {

/// Takes one request from the pipe and answers it. The request's field `command`:
///
/// | command | further fields                                  | answer                                           |
/// |---------|-------------------------------------------------|--------------------------------------------------|
/// | write   | path, partition, generation; then rows, kDone   | rows, rows_hash, min_time, max_time, bytes, sha256 |
/// | put     | store, path, key                                | bytes                                            |
/// | verify  | store, key                                      | as write, with what the rows really are          |
/// | read    | store, key; device, metric, from, to, limit     | rows; then rows, row_groups, row_groups_read     |
/// | export  | format; then names, rows, ...; then kDone       | bytes, and an item behind each rows; then rows   |
/// | list    | store, folder                                   | items key, bytes, modified; then none            |
/// | delete  | store, key                                      | none                                             |
///
/// The key of `read` may be several with newlines between: their rows come one file after another.
/// ("store": the fields of ObjectStore::open.) Every failure is answered by kError with `kind` and `message`; the
/// status returned is that of the pipe itself.
[[nodiscard]] Status serve(Pipe& pipe);

}  // namespace millrace::parquet_worker
