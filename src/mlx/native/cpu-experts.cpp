// Mixtures of experts: rows are put in the order of the experts that they go to, so that each expert's weights are read once.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu-kernels.h"
#include "cpu-primitives.h"
#include "cpu-threads.h"

namespace shim {

namespace {

// A plan is int32 [experts + 1 + 2 R]: where each expert's rows begin, and the end; then, for each row in the order of the
// experts, which choice it is (token times k plus place); then, for each choice, its row.
struct Plan {
  const int32_t* starts;
  const int32_t* choices;
  const int32_t* rows;

  Plan(const void* data, int64_t experts, int64_t count)
      : starts(static_cast<const int32_t*>(data)), choices(starts + experts + 1), rows(choices + count) {}
};

int64_t rows_of(const mx::array& plan, int64_t experts) {
  require(experts > 0 && plan.ndim() == 1 && plan.dtype() == mx::int32, "experts: the plan is none");
  int64_t rest = plan.shape(0) - experts - 1;
  require(rest >= 0 && rest % 2 == 0, "experts: the plan is for another number of experts");
  return rest / 2;
}

// The product of some rows with some panels of one expert's matrix.
struct Item {
  int64_t expert, first_panel, last_panel;
};

// Cuts the work of all experts into items that are worth handing over and even enough to share.
std::vector<Item> share(const std::vector<int64_t>& starts, int64_t panels, int64_t k) {
  int64_t experts = static_cast<int64_t>(starts.size()) - 1, cost = k * kPanel;
  int64_t wanted = std::max<int64_t>(300000, starts.back() * panels * cost / (8 * compute_threads()));
  std::vector<Item> items;
  for (int64_t e = 0; e < experts; e++) {
    int64_t rows = starts[e + 1] - starts[e];
    if (rows == 0) continue;
    int64_t step = std::clamp<int64_t>(wanted / std::max<int64_t>(1, rows * cost), 1, std::max<int64_t>(1, panels));
    for (int64_t p = 0; p < panels; p += step) items.push_back({e, p, std::min(panels, p + step)});
  }
  return items;
}

// product(expert, rows, x, bias, y, first_panel, last_panel) for every expert that has rows.
template <typename F>
mx::array linear(
    const mx::array& x, const mx::array& packed, const std::optional<mx::array>& bias, const std::optional<mx::array>& plan, int64_t experts,
    int64_t panels, int n, const char* name, mx::Stream s, F product) {
  int64_t rows = x.shape(0), k = x.shape(1);
  require(plan ? rows_of(*plan, experts) == rows : rows % experts == 0, "experts: the rows are not those of the plan");
  require(!bias || bias->shape() == mx::Shape({static_cast<int>(experts), n}), "experts: the bias has another shape");
  std::vector<mx::array> inputs{cpu_float32(x), packed};
  if (bias) inputs.push_back(cpu_float32(*bias));
  if (plan) inputs.push_back(*plan);
  const bool biased = bias.has_value(), planned = plan.has_value();
  mx::Shape shape{static_cast<int>(rows), n};
  return cpu_make(shape, mx::float32, name, std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    std::vector<int64_t> starts(experts + 1);
    for (int64_t e = 0; e <= experts; e++) starts[e] = planned ? Plan(in.back(), experts, rows).starts[e] : rows / experts * e;
    std::vector<Item> items = share(starts, panels, k);
    parallel_for(static_cast<int64_t>(items.size()), [&](int64_t i) {
      const Item& item = items[i];
      int64_t from = starts[item.expert];
      const float* b = biased ? floats(in[2]) + item.expert * n : nullptr;
      float* y = static_cast<float*>(out) + from * n;
      product(item.expert, starts[item.expert + 1] - from, floats(in[0]) + from * k, in[1], b, y, item.first_panel, item.last_panel);
    });
  });
}

// The panels of one expert, of so many in all.
int64_t panels_of_one(const mx::array& packed, int experts, int n) {
  require(experts > 0 && n > 0 && packed.shape(0) % experts == 0, "experts: the weight is for another number of experts");
  int64_t panels = packed.shape(0) / experts;
  require((n + kPanel - 1) / kPanel == panels, "experts: the weight has another number of rows");
  return panels;
}

}  // namespace

mx::array cpu_top_k(const mx::array& x, int k, mx::Stream s) {
  require(x.ndim() == 2 && k >= 1 && k <= x.shape(1), "top_k: rows of k or more are needed");
  int64_t rows = x.shape(0), n = x.shape(1);
  return cpu_make({static_cast<int>(rows), k}, mx::uint32, "TopK", {cpu_float32(x)}, s, [=](const std::vector<const void*>& in, void* out) {
    auto* best = static_cast<uint32_t*>(out);
    for (int64_t r = 0; r < rows; r++, best += k) {
      const float* row = floats(in[0]) + r * n;
      // Not-a-number counts as the least, so that whatever comes the indices are those of different places.
      auto value = [&](int64_t i) { return std::isnan(row[i]) ? -INFINITY : row[i]; };
      int64_t held = 0;
      for (int64_t i = 0; i < n; i++) {
        if (held == k && !(value(i) > value(best[k - 1]))) continue;
        int64_t at = held < k ? held++ : k - 1;
        for (; at > 0 && value(i) > value(best[at - 1]); at--) best[at] = best[at - 1];
        best[at] = static_cast<uint32_t>(i);
      }
    }
  });
}

mx::array cpu_expert_plan(const mx::array& chosen, int experts, mx::Stream s) {
  require(chosen.ndim() == 2 && chosen.dtype() == mx::uint32 && experts > 0, "experts: chosen must be uint32 [T, k]");
  int64_t count = chosen.size(), limit = experts;
  mx::Shape shape{static_cast<int>(limit + 1 + 2 * count)};
  return cpu_make(shape, mx::int32, "ExpertPlan", {chosen}, s, [=](const std::vector<const void*>& in, void* out) {
    const auto* wanted = static_cast<const uint32_t*>(in[0]);
    auto expert = [&](int64_t i) { return std::min<int64_t>(wanted[i], limit - 1); };
    auto* starts = static_cast<int32_t*>(out);
    int32_t* choices = starts + limit + 1;
    int32_t* rows = choices + count;
    std::memset(starts, 0, (limit + 1) * sizeof(int32_t));
    for (int64_t i = 0; i < count; i++) starts[expert(i) + 1]++;
    for (int64_t e = 0; e < limit; e++) starts[e + 1] += starts[e];
    std::vector<int32_t> next(starts, starts + limit);
    for (int64_t i = 0; i < count; i++) {
      int32_t row = next[expert(i)]++;
      choices[row] = static_cast<int32_t>(i);
      rows[i] = row;
    }
  });
}

mx::array cpu_expert_spread(const mx::array& x, const mx::array& plan, int experts, mx::Stream s) {
  int64_t count = rows_of(plan, experts);
  require(x.ndim() == 2 && x.shape(0) > 0 && count % x.shape(0) == 0 && count > 0, "experts: the tokens are not those of the plan");
  int64_t n = x.shape(1), each = count / x.shape(0);
  mx::Shape shape{static_cast<int>(count), static_cast<int>(n)};
  return cpu_make(shape, mx::float32, "ExpertSpread", {cpu_float32(x), plan}, s, [=](const std::vector<const void*>& in, void* out) {
    Plan p(in[1], experts, count);
    const int64_t item = std::max<int64_t>(1, 65536 / std::max<int64_t>(1, n));  // rows
    parallel_for((count + item - 1) / item, [&](int64_t i) {
      for (int64_t r = i * item; r < std::min(count, (i + 1) * item); r++)
        std::memcpy(static_cast<float*>(out) + r * n, floats(in[0]) + p.choices[r] / each * n, n * sizeof(float));
    });
  });
}

mx::array cpu_expert_combine(const mx::array& y, const mx::array& plan, const mx::array& weights, int experts, mx::Stream s) {
  int64_t count = rows_of(plan, experts);
  require(weights.ndim() == 2 && static_cast<int64_t>(weights.size()) == count && count > 0, "experts: the weights are not those of the plan");
  require(y.ndim() == 2 && y.shape(0) == count, "experts: the rows are not those of the plan");
  int64_t tokens = weights.shape(0), each = weights.shape(1), n = y.shape(1);
  mx::Shape shape{static_cast<int>(tokens), static_cast<int>(n)};
  std::vector<mx::array> inputs{cpu_float32(y), plan, cpu_float32(weights)};
  return cpu_make(shape, mx::float32, "ExpertCombine", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    Plan p(in[1], experts, count);
    constexpr int64_t item = 8;  // tokens
    parallel_for((tokens + item - 1) / item, [&](int64_t i) {
      for (int64_t t = i * item; t < std::min(tokens, (i + 1) * item); t++) {
        float* to = static_cast<float*>(out) + t * n;
        std::memset(to, 0, n * sizeof(float));
        for (int64_t j = t * each; j < (t + 1) * each; j++) {
          const float* from = floats(in[0]) + p.rows[j] * n;
          float weight = floats(in[2])[j];
          for (int64_t c = 0; c < n; c++) to[c] += weight * from[c];
        }
      }
    });
  });
}

mx::array cpu_expert_linear(
    const mx::array& x, const mx::array& packed, const std::optional<mx::array>& bias, const std::optional<mx::array>& plan, int experts, int n,
    mx::Stream s) {
  require(x.ndim() == 2 && packed.ndim() == 3 && packed.shape(2) == kPanel && packed.shape(1) == x.shape(1), "experts: the weight is not packed so");
  int64_t k = x.shape(1), panels = panels_of_one(packed, experts, n);
  auto kind = packed.dtype() == mx::bfloat16 ? WeightKind::bf16 : WeightKind::f32;
  require(kind == WeightKind::bf16 || packed.dtype() == mx::float32, "experts: the weight is not packed so");
  int64_t bytes = panels * k * kPanel * (kind == WeightKind::bf16 ? 2 : 4);
  return linear(x, packed, bias, plan, experts, panels, n, "ExpertLinear", s,
      [=](int64_t expert, int64_t rows, const float* from, const void* weights, const float* b, float* to, int64_t first, int64_t last) {
        kernels().linear(from, rows, k, static_cast<const char*>(weights) + expert * bytes, kind, b, to, n, first, last);
      });
}

mx::array cpu_expert_quantized_linear(
    const mx::array& x, const mx::array& packed, const std::optional<mx::array>& bias, const std::optional<mx::array>& plan, int experts, int n,
    int group, int bits, mx::Stream s) {
  require(x.ndim() == 2, "experts: rows are needed");
  QuantizedLayout q = quantized_layout(packed, x.shape(1), group, bits);
  require(packed.dtype() == mx::uint8 && packed.ndim() == 2 && packed.shape(1) == q.panel_bytes(), "experts: the weight is not packed so");
  int64_t panels = panels_of_one(packed, experts, n);
  return linear(x, packed, bias, plan, experts, panels, n, "ExpertQuantizedLinear", s,
      [=](int64_t expert, int64_t rows, const float* from, const void* weights, const float* b, float* to, int64_t first, int64_t last) {
        kernels().quantized(from, rows, q, static_cast<const uint8_t*>(weights) + expert * panels * q.panel_bytes(), b, to, n, first, last);
      });
}

}  // namespace shim
