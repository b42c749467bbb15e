// Runs the target over a corpus: each file as it is, cut at every byte, and with single bytes damaged. Inputs are
// copied to memory of exactly their size, so that a sanitizer build sees a read behind the end.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "fuzz_one.hpp"

namespace {

std::size_t runs = 0;

void run(std::string_view bytes) {
  const auto exact = std::make_unique<char[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), exact.get());
  millrace::fuzz::fuzz_one({exact.get(), bytes.size()});
  ++runs;
}

void run_variations(std::string bytes) {
  run(bytes);
  // Long files are varied at a stride, so that the test stays a matter of seconds.
  const std::size_t stride = 1 + bytes.size() / 512;
  for (std::size_t size = 0; size < bytes.size(); size += stride) run(std::string_view(bytes).substr(0, size));
  for (std::size_t at = 0; at < bytes.size(); at += stride) {
    const char kept = bytes[at];
    for (const int damage : {0x00, 0xFF, 0x7F, 0x80, kept ^ 0x01, kept ^ 0x20, kept + 1, kept - 1}) {
      bytes[at] = static_cast<char>(damage);
      run(bytes);
    }
    bytes[at] = kept;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: " << argv[0] << " CORPUS-FOLDER\n";
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::cerr << "no corpus in " << argv[1] << '\n';
    return 1;
  }
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    run_variations({std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()});
  }
  std::cout << files.size() << " files, " << runs << " inputs\n";
  return 0;
}
