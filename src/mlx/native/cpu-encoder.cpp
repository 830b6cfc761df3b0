// What encoders need besides: attention in both directions over texts that lie one after the other, and the exact gelu.
#include <algorithm>
#include <stdexcept>

#include "cpu-kernels.h"
#include "cpu-primitives.h"
#include "cpu-threads.h"

namespace shim {

namespace {

// Queries [first, first + count) of the text that begins at token `offset`, all of its tokens being keys.
struct TextItem {
  int64_t offset, length, first, count;
};

}  // namespace

mx::array cpu_gelu(const mx::array& x, mx::Stream s) {
  int64_t size = static_cast<int64_t>(x.size());
  return cpu_make(x.shape(), mx::float32, "Gelu", {cpu_float32(x)}, s, [=](const std::vector<const void*>& in, void* out) {
    constexpr int64_t kSlice = 16384;
    parallel_for((size + kSlice - 1) / kSlice, [&](int64_t i) {
      int64_t at = i * kSlice;
      kernels().gelu(floats(in[0]) + at, static_cast<float*>(out) + at, std::min(kSlice, size - at));
    });
  });
}

mx::array cpu_attend_texts(
    const mx::array& q, const mx::array& k, const mx::array& v, const std::vector<int>& lengths, bool causal, float scale, mx::Stream s) {
  require(q.ndim() == 3 && k.ndim() == 3 && k.shape() == v.shape(), "attend_texts: q [T, H, D], k and v [T, Hkv, D]");
  int64_t tokens = q.shape(0), heads = q.shape(1), dim = q.shape(2), kv_heads = k.shape(1);
  require(k.shape(0) == tokens && k.shape(2) == dim && kv_heads > 0 && heads % kv_heads == 0, "attend_texts: shapes differ");
  const int64_t group = heads / kv_heads, block = std::max<int64_t>(1, kQueryRows / group);
  std::vector<TextItem> items;
  int64_t offset = 0;
  for (int length : lengths) {
    require(length > 0 && offset + length <= tokens, "attend_texts: lengths do not fit");
    for (int64_t first = 0; first < length; first += block) items.push_back({offset, length, first, std::min(block, length - first)});
    offset += length;
  }
  require(offset == tokens, "attend_texts: lengths do not fit");
  // The longest first, so that no thread is left with one at the end.
  std::stable_sort(items.begin(), items.end(), [](const TextItem& a, const TextItem& b) { return a.count * a.length > b.count * b.length; });
  mx::Shape shape{static_cast<int>(tokens), static_cast<int>(heads * dim)};
  auto run = [=](const std::vector<const void*>& in, void* out) {
    parallel_for(static_cast<int64_t>(items.size()) * kv_heads, [&](int64_t i) {
      const TextItem& item = items[i / kv_heads];
      int64_t head = i % kv_heads, token = item.offset + item.first;
      AttentionTask task{};
      task.q = floats(in[0]) + (token * heads + head * group) * dim;
      task.q_stride = task.out_stride = heads * dim;
      task.k = floats(in[1]) + (item.offset * kv_heads + head) * dim;
      task.v = floats(in[2]) + (item.offset * kv_heads + head) * dim;
      task.k_stride = task.v_stride = kv_heads * dim;
      task.slots = item.length;
      task.out = static_cast<float*>(out) + (token * heads + head * group) * dim;
      task.heads = static_cast<int>(group);
      task.dim = task.value_dim = static_cast<int>(dim);
      task.tokens = static_cast<int>(item.count);
      task.keys = static_cast<int>(causal ? item.first + item.count : item.length);
      task.scale = scale;
      task.both = !causal;
      thread_local std::vector<float> scratch;
      // The scratch of one query is less than what `attend_many` takes for it.
      AttentionTask sized = task;
      sized.tokens = std::max(2, task.tokens);
      size_t need = static_cast<size_t>(attention_scratch(sized));
      if (scratch.size() < need) scratch.resize(need);
      kernels().attend_many(task, scratch.data());
    });
  };
  return cpu_make(shape, mx::float32, "AttendTexts", {cpu_float32(q), cpu_float32(k), cpu_float32(v)}, s, std::move(run));
}

}  // namespace shim
