// Content of cache rows as one flat array, out and back in: what a prefix cache keeps.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>

#include "place-memory.h"
#include "cpu-primitives.h"
#include "cpu-threads.h"

namespace shim {

namespace {

// One tensor [R, H, slots, D] and where its numbers of a token begin among those of all tensors.
struct Part {
  int64_t heads, slots, dim, column;
};

// An array in a block's memory, filled by `run`; where that memory is touched for the first time, the time that it takes is noted.
mx::array make_block(mx::Shape shape, const char* name, const std::vector<mx::array>& inputs, mx::Stream s, CpuRun run) {
  auto untouched = std::make_shared<size_t>(0);
  // Blocks are taken by the thread that evaluates, and dropped by any.
  auto memory = [=](size_t bytes) { return block_places().take(bytes, bytes, untouched.get()); };
  auto timed = [=](const std::vector<const void*>& in, void* out) {
    auto start = std::chrono::steady_clock::now();
    run(in, out);
    if (*untouched > 0) block_places().count_touched(*untouched, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  };
  return cpu_make(std::move(shape), mx::float32, name, inputs, s, timed, kNoneWritten, memory);
}

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

// copy(address in the cache of so many tokens' numbers of one head, their column in the block, how many) for each head of a tensor.
template <typename Copy>
void each_head(const Part& p, const void* cache, int64_t row, int64_t position, Copy copy) {
  auto* base = static_cast<float*>(const_cast<void*>(cache)) + (row * p.heads * p.slots + position % p.slots) * p.dim;
  for (int64_t h = 0; h < p.heads; h++) copy(base + h * p.slots * p.dim, p.column + h * p.dim, p.dim);
}

}  // namespace

mx::array cpu_export_tokens(const std::vector<mx::array>& caches, int row, int start, int count, mx::Stream s) {
  Parts parts = parts_of(caches, row);
  require(start >= 0 && count > 0 && parts.width > 0, "blocks: nothing to export");
  for (const Part& p : parts.list) require(start % p.slots + count <= p.slots, "blocks: tokens that a row does not hold side by side");
  mx::Shape shape{count, static_cast<int>(parts.width)};
  CpuRun run = [=](const std::vector<const void*>& in, void* out) {
    // Head by head, whose tokens lie side by side.
    parallel_for(static_cast<int64_t>(parts.list.size()), [&](int64_t i) {
      each_head(parts.list[i], in[i], row, start, [&](const float* from, int64_t column, int64_t n) {
        for (int64_t t = 0; t < count; t++) std::memcpy(static_cast<float*>(out) + t * parts.width + column, from + t * n, n * sizeof(float));
      });
    });
  };
  return make_block(shape, "ExportTokens", caches, s, std::move(run));
}

mx::array cpu_import_tokens(const std::vector<mx::array>& caches, const std::vector<mx::array>& blocks, int row, int start, mx::Stream s) {
  Parts parts = parts_of(caches, row);
  require(start >= 0 && !blocks.empty(), "blocks: nothing to import");
  std::vector<mx::array> inputs = caches;
  std::vector<int64_t> firsts;  // position of each block's first token
  int64_t end = start;
  for (const mx::array& b : blocks) {
    require(b.ndim() == 2 && b.shape(1) == parts.width, "blocks: a block of another model");
    inputs.push_back(cpu_float32(b));
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
        for (size_t i = 0; i < n; i++) {
          // What a ring does not hold any more at the end.
          if (position < end - parts.list[i].slots) continue;
          each_head(parts.list[i], in[i], row, position, [&](float* to, int64_t column, int64_t size) { std::memcpy(to, from + column, size * sizeof(float)); });
        }
      }
    });
  }, 0);
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
  CpuRun run = [=](const std::vector<const void*>& in, void* out) {
    auto* to = static_cast<float*>(out);
    for (size_t i = 0; i < sizes.size(); to += sizes[i++])
      std::memcpy(to, static_cast<const float*>(in[i]) + row * sizes[i], sizes[i] * sizeof(float));
  };
  return make_block({static_cast<int>(total)}, "ExportState", states, s, std::move(run));
}

mx::array cpu_import_state(const std::vector<mx::array>& states, const mx::array& state, int row, mx::Stream s) {
  std::vector<int64_t> sizes = row_sizes(states, row);
  int64_t total = 0;
  for (int64_t size : sizes) total += size;
  require(state.ndim() == 1 && state.shape(0) == total, "states: a state of another model");
  std::vector<mx::array> inputs = states;
  inputs.push_back(cpu_float32(state));
  return cpu_make({1}, mx::float32, "ImportState", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    *static_cast<float*>(out) = 0;
    const auto* from = static_cast<const float*>(in.back());
    for (size_t i = 0; i < sizes.size(); from += sizes[i++])
      std::memcpy(static_cast<float*>(const_cast<void*>(in[i])) + row * sizes[i], from, sizes[i] * sizeof(float));
  }, 0);
}

}  // namespace shim
