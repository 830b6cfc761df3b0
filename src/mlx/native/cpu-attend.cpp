// Attention of a ragged step over the cache tensors of all size classes.
#include <algorithm>
#include <cstring>

#include "cpu-kernels.h"
#include "cpu-primitives.h"
#include "cpu-threads.h"

namespace shim {

namespace {

struct Stretch {
  int64_t sizeClass, row, start, count, offset;
  int64_t asked, query;  // so many of the last tokens attend, with the queries from there on
};

// Part of a stretch's queries that one work item attends for one key-value head.
struct AttendItem {
  const Stretch* stretch;
  int64_t first, count;
};

}  // namespace

mx::array cpu_attend(
    const mx::array& q, const std::optional<mx::array>& k, const std::optional<mx::array>& v, const std::optional<mx::array>& sinks,
    const std::vector<mx::array>& caches, const std::vector<int>& plan, const std::vector<int>& asked, const AttendOptions& o,
    mx::Stream s) {
  require(!caches.empty() && caches[0].ndim() == 4 && q.ndim() == 3, "attend: q [T, H, D], caches [R, Hkv, slots, D]");
  int64_t queries = q.shape(0), heads = q.shape(1), dim = q.shape(2), value_dim = o.value_dim;
  // All tokens of the batch; without k nothing of them is read but the queries.
  int64_t tokens = k ? k->shape(0) : asked.empty() ? queries : INT64_MAX;
  int64_t kv_heads = caches[0].shape(1);
  int64_t classes = 0;
  for (size_t i = 0; i < plan.size(); i += 5) classes = std::max<int64_t>(classes, plan[i] + 1);
  // One tensor a class: the values are the beginning of the keys.
  const bool latent = static_cast<int64_t>(caches.size()) == classes;
  const int64_t parts = latent ? 1 : 2;
  require(kv_heads > 0 && heads % kv_heads == 0 && plan.size() % 5 == 0 && !plan.empty(), "attend: heads or plan");
  require(asked.empty() ? tokens == queries : asked.size() * 5 == plan.size() * 2, "attend: queries");
  require(static_cast<int64_t>(caches.size()) == classes * parts && value_dim > 0 && (!latent || value_dim <= dim), "attend: caches");
  require(o.window >= 0 && o.chunk >= 0, "attend: a negative window");
  require(!k || (k->ndim() == 3 && k->shape(1) == kv_heads && k->shape(2) == dim), "attend: k [T, Hkv, D]");
  require(k ? latent == !v : !v, "attend: v where there is k, but for a latent cache");
  require(!v || (v->ndim() == 3 && v->shape(0) == tokens && v->shape(1) == kv_heads && v->shape(2) == value_dim), "attend: v [T, Hkv, Dv]");
  require(!sinks || (sinks->ndim() == 1 && sinks->shape(0) == heads), "attend: sinks [H]");
  for (size_t i = 0; i < caches.size(); i++) {
    const mx::array& c = caches[i];
    bool keys = latent || i % 2 == 0;
    require(c.ndim() == 4 && c.dtype() == mx::float32 && c.shape(1) == kv_heads && c.shape(3) == (keys ? dim : value_dim), "attend: a cache has another shape");
    require(latent || c.shape(2) == caches[i - i % 2].shape(2), "attend: k and v caches differ");
  }
  // So much of the past a query may need, besides its own stretch.
  const bool ring = o.window > 0 || o.chunk > 0;
  const int64_t reach = o.window > 0 ? o.window - 1 : o.chunk > 0 ? o.chunk - 1 : 0;
  std::vector<Stretch> stretches;
  int64_t unanswered = queries;
  for (size_t i = 0; i < plan.size(); i += 5) {
    Stretch t{plan[i], plan[i + 1], plan[i + 2], plan[i + 3], plan[i + 4], plan[i + 3], plan[i + 4]};
    if (!asked.empty()) t.asked = asked[i / 5 * 2], t.query = asked[i / 5 * 2 + 1];
    require(t.sizeClass >= 0, "attend: no such class");
    const mx::array& cache = caches[t.sizeClass * parts];
    int64_t slots = cache.shape(2);
    require(t.row >= 0 && t.row < cache.shape(0) && t.start >= 0 && t.count > 0, "attend: outside of the cache");
    require(t.start + t.count <= slots || (ring && std::min(t.start, reach) + t.count <= slots), "attend: more than the row has room for");
    require(t.offset >= 0 && t.count <= tokens - t.offset, "attend: outside of the batch");
    require(t.asked >= 0 && t.asked <= t.count && t.query >= 0 && t.query + t.asked <= queries, "attend: outside of the queries");
    stretches.push_back(t);
    unanswered -= t.asked;
  }
  require(unanswered == 0, "attend: queries of no stretch");
  std::vector<int64_t> slots_of;
  for (size_t i = 0; i < caches.size(); i += parts) slots_of.push_back(caches[i].shape(2));
  // What is rotated before is rotated here instead: keys on their way to the cache, queries by whoever attends with them.
  const std::optional<Rotation> turned_q = rotation_of(q), turned_k = k ? rotation_of(*k) : std::nullopt;
  std::vector<mx::array> inputs{cpu_float32(turned_q ? turned_q->x : q)};
  if (k) inputs.push_back(cpu_float32(turned_k ? turned_k->x : *k));
  for (const auto* part : {&v, &sinks})
    if (*part) inputs.push_back(cpu_float32(**part));
  const int64_t k_at = 1, v_at = 2, sinks_at = 1 + (k ? 1 : 0) + (v ? 1 : 0), q_table_at = sinks_at + (sinks ? 1 : 0);
  if (turned_q) inputs.push_back(turned_q->table);
  const int64_t k_table_at = q_table_at + (turned_q ? 1 : 0), caches_at = k_table_at + (turned_k ? 1 : 0);
  if (turned_k) inputs.push_back(turned_k->table);
  const int64_t half_q = turned_q ? turned_q->table.shape(2) : 0, half_k = turned_k ? turned_k->table.shape(2) : 0;
  const bool pairs_q = turned_q && turned_q->pairs, pairs_k = turned_k && turned_k->pairs;
  const bool writes = k.has_value(), writes_v = v.has_value(), sunk = sinks.has_value();
  inputs.insert(inputs.end(), caches.begin(), caches.end());
  mx::Shape shape{static_cast<int>(queries), static_cast<int>(heads * value_dim)};
  auto run = [=](const std::vector<const void*>& in, void* out) {
    // A group of many heads (latent attention has them all in one) is shared among threads.
    const int64_t group = heads / kv_heads, parts_of_group = (group + kPanel - 1) / kPanel, per_part = (group + parts_of_group - 1) / parts_of_group;
    const int64_t block = std::max<int64_t>(1, kQueryRows / per_part);
    // Long stretches are shared by blocks of queries; every item is one block, all key-value heads.
    std::vector<AttendItem> items;
    for (const Stretch& t : stretches)
      for (int64_t first = 0; first < t.asked; first += block) items.push_back({&t, first, std::min(block, t.asked - first)});
    // The longest first, so that no thread is left with one at the end.
    auto keys_of = [](const AttendItem& item) {
      const Stretch& t = *item.stretch;
      return t.start + t.count - t.asked + item.first + item.count;
    };
    auto cost = [&](const AttendItem& item) {
      int64_t keys = keys_of(item);
      return item.count * (ring ? std::min(keys, reach + item.count) : keys);
    };
    std::stable_sort(items.begin(), items.end(), [&](const AttendItem& a, const AttendItem& b) { return cost(a) > cost(b); });
    auto cache_row = [&](const Stretch& t, int64_t which, int64_t head) {
      auto* base = static_cast<float*>(const_cast<void*>(in[caches_at + t.sizeClass * parts + which]));
      return base + (t.row * kv_heads + head) * slots_of[t.sizeClass] * (which == 0 ? dim : value_dim);
    };
    auto write = [&](const Stretch& t, int64_t which, const float* from, int64_t width) {
      for (int64_t h = 0; h < kv_heads; h++) {
        float* row = cache_row(t, which, h);
        for (int64_t i = 0; i < t.count; i++) {
          const float* source = from + ((t.offset + i) * kv_heads + h) * width;
          float* target = row + (t.start + i) % slots_of[t.sizeClass] * width;
          if (which == 0 && half_k > 0)
            kernels().rope(source, floats(in[k_table_at]) + (t.offset + i) * 2 * half_k, target, 1, 1, dim, half_k, pairs_k);
          else
            std::memcpy(target, source, width * sizeof(float));
        }
      }
    };
    if (writes) {
      // Of few numbers it is not worth handing over a part.
      int64_t each = tokens * kv_heads * dim < 16384 ? static_cast<int64_t>(stretches.size()) : 1, count = static_cast<int64_t>(stretches.size());
      parallel_for((count + each - 1) / each, [&](int64_t item) {
        for (int64_t i = item * each; i < std::min(count, (item + 1) * each); i++) {
          write(stretches[i], 0, floats(in[k_at]), dim);
          if (writes_v) write(stretches[i], 1, floats(in[v_at]), value_dim);
        }
      });
    }
    int64_t total = static_cast<int64_t>(items.size()) * kv_heads * parts_of_group;
    parallel_for(total, [&](int64_t i) {
      const AttendItem& item = items[i / (kv_heads * parts_of_group)];
      const Stretch& t = *item.stretch;
      int64_t head = i / parts_of_group % kv_heads, query = t.query + item.first;
      int64_t first_head = i % parts_of_group * per_part;
      AttentionTask task;
      task.q = floats(in[0]) + (query * heads + head * group + first_head) * dim;
      task.q_stride = heads * dim;
      task.k = cache_row(t, 0, head);
      task.v = latent ? task.k : cache_row(t, 1, head);
      task.k_stride = dim;
      task.v_stride = latent ? dim : value_dim;
      task.slots = slots_of[t.sizeClass];
      task.out = static_cast<float*>(out) + (query * heads + head * group + first_head) * value_dim;
      task.out_stride = heads * value_dim;
      task.heads = static_cast<int>(std::min(per_part, group - first_head));
      task.dim = static_cast<int>(dim);
      task.value_dim = static_cast<int>(value_dim);
      task.tokens = static_cast<int>(item.count);
      task.keys = static_cast<int>(keys_of(item));
      task.window = o.window;
      task.chunk = o.chunk;
      task.scale = o.scale;
      task.softcap = o.softcap;
      task.sinks = sunk ? floats(in[sinks_at]) + head * group + first_head : nullptr;
      // The first keys of what this thread will probably take next.
      if (int64_t next = i + compute_threads(); next < total) {
        const float* keys = cache_row(*items[next / (kv_heads * parts_of_group)].stretch, 0, next / parts_of_group % kv_heads);
        for (int64_t at = 0; at < 32 * dim; at += 16) __builtin_prefetch(keys + at, 0, 2);
      }
      thread_local std::vector<float> scratch;
      size_t size = static_cast<size_t>(attention_scratch(task)), need = size + (half_q > 0 ? static_cast<size_t>(item.count * task.heads * dim) : 0);
      if (scratch.size() < need) scratch.resize(need);
      if (half_q > 0) {
        float* turned = scratch.data() + size;
        for (int64_t j = 0; j < item.count; j++)
          kernels().rope(task.q + j * task.q_stride, floats(in[q_table_at]) + (query + j) * 2 * half_q, turned + j * task.heads * dim, 1, task.heads, dim, half_q, pairs_q);
        task.q = turned;
        task.q_stride = task.heads * dim;
      }
      (task.one_by_one() ? kernels().attend_one : kernels().attend_many)(task, scratch.data());
    });
  };
  return cpu_make(shape, mx::float32, "Attend", std::move(inputs), s, std::move(run), writes ? caches_at : kNoneWritten);
}

}  // namespace shim
