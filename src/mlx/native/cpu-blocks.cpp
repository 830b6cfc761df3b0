// Content of cache rows as one flat array, out and back in: what a prefix cache keeps.
#include <algorithm>
#include <cstring>

#include "cpu-primitives.h"
#include "cpu-threads.h"

namespace shim {

namespace {

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

// One tensor [R, H, slots, D] and where its numbers of a token begin among those of all tensors.
struct Part {
  int64_t heads, slots, dim, column;
};

struct Parts {
  std::vector<Part> list;
  int64_t width = 0;  // floats of a token
};

Parts parts_of(const std::vector<mx::array>& caches, int row) {
  Parts parts;
  for (const mx::array& c : caches) {
    require(c.ndim() == 4 && c.dtype() == mx::float32 && row >= 0 && row < c.shape(0) && c.shape(2) > 0, "blocks: caches [R, H, slots, D]");
    parts.list.push_back({c.shape(1), c.shape(2), c.shape(3), parts.width});
    parts.width += int64_t{c.shape(1)} * c.shape(3);
  }
  return parts;
}

// copy(address in the cache, column of the block) for each head of each tensor of one token.
template <typename Copy>
void each_head(const Parts& parts, const std::vector<const void*>& caches, size_t first, int64_t row, int64_t position, int64_t end, Copy copy) {
  for (size_t i = 0; i < parts.list.size(); i++) {
    const Part& p = parts.list[i];
    // What a ring does not hold any more at the end.
    if (position < end - p.slots) continue;
    auto* base = static_cast<float*>(const_cast<void*>(caches[first + i])) + row * p.heads * p.slots * p.dim + position % p.slots * p.dim;
    for (int64_t h = 0; h < p.heads; h++) copy(base + h * p.slots * p.dim, p.column + h * p.dim, p.dim);
  }
}

constexpr int64_t kTokensPerItem = 16;

}  // namespace

mx::array cpu_export_tokens(const std::vector<mx::array>& caches, int row, int start, int count, mx::Stream s) {
  Parts parts = parts_of(caches, row);
  require(start >= 0 && count > 0 && parts.width > 0, "blocks: nothing to export");
  mx::Shape shape{count, static_cast<int>(parts.width)};
  return cpu_make(shape, mx::float32, "ExportTokens", caches, s, [=](const std::vector<const void*>& in, void* out) {
    parallel_for((count + kTokensPerItem - 1) / kTokensPerItem, [&](int64_t item) {
      for (int64_t t = item * kTokensPerItem; t < std::min<int64_t>(count, (item + 1) * kTokensPerItem); t++) {
        float* to = static_cast<float*>(out) + t * parts.width;
        each_head(parts, in, 0, row, start + t, 0, [&](const float* from, int64_t column, int64_t n) { std::memcpy(to + column, from, n * sizeof(float)); });
      }
    });
  });
}

mx::array cpu_import_tokens(const std::vector<mx::array>& caches, const std::vector<mx::array>& blocks, int row, int start, mx::Stream s) {
  Parts parts = parts_of(caches, row);
  require(start >= 0 && !blocks.empty(), "blocks: nothing to import");
  std::vector<mx::array> inputs = caches;
  std::vector<int64_t> firsts;  // position of each block's first token
  int64_t end = start;
  for (const mx::array& b : blocks) {
    require(b.ndim() == 2 && b.shape(1) == parts.width, "blocks: a block of another model");
    inputs.push_back(cpu_plain(b, s));
    firsts.push_back(end);
    end += b.shape(0);
  }
  firsts.push_back(end);
  size_t n = caches.size();
  return cpu_make({1}, mx::float32, "ImportTokens", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    *static_cast<float*>(out) = 0;
    parallel_for(static_cast<int64_t>(firsts.size()) - 1, [&](int64_t b) {
      for (int64_t position = firsts[b]; position < firsts[b + 1]; position++) {
        const float* from = static_cast<const float*>(in[n + b]) + (position - firsts[b]) * parts.width;
        each_head(parts, in, 0, row, position, end, [&](float* to, int64_t column, int64_t size) { std::memcpy(to, from + column, size * sizeof(float)); });
      }
    });
  });
}

namespace {

// Elements of one row of each tensor [R, ...].
std::vector<int64_t> row_sizes(const std::vector<mx::array>& states, int row) {
  std::vector<int64_t> sizes;
  for (const mx::array& t : states) {
    require(t.ndim() >= 1 && t.dtype() == mx::float32 && row >= 0 && row < t.shape(0), "states: tensors [R, ...]");
    sizes.push_back(static_cast<int64_t>(t.size()) / t.shape(0));
  }
  return sizes;
}

}  // namespace

mx::array cpu_export_state(const std::vector<mx::array>& states, int row, mx::Stream s) {
  std::vector<int64_t> sizes = row_sizes(states, row);
  int64_t total = 0;
  for (int64_t size : sizes) total += size;
  require(total > 0 && total < (int64_t{1} << 31), "states: size");
  return cpu_make({static_cast<int>(total)}, mx::float32, "ExportState", states, s, [=](const std::vector<const void*>& in, void* out) {
    auto* to = static_cast<float*>(out);
    for (size_t i = 0; i < sizes.size(); to += sizes[i++])
      std::memcpy(to, static_cast<const float*>(in[i]) + row * sizes[i], sizes[i] * sizeof(float));
  });
}

mx::array cpu_import_state(const std::vector<mx::array>& states, const mx::array& state, int row, mx::Stream s) {
  std::vector<int64_t> sizes = row_sizes(states, row);
  int64_t total = 0;
  for (int64_t size : sizes) total += size;
  require(state.ndim() == 1 && state.shape(0) == total, "states: a state of another model");
  std::vector<mx::array> inputs = states;
  inputs.push_back(cpu_plain(state, s));
  return cpu_make({1}, mx::float32, "ImportState", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    *static_cast<float*>(out) = 0;
    const auto* from = static_cast<const float*>(in.back());
    for (size_t i = 0; i < sizes.size(); from += sizes[i++])
      std::memcpy(static_cast<float*>(const_cast<void*>(in[i])) + row * sizes[i], from, sizes[i] * sizeof(float));
  });
}

}  // namespace shim
