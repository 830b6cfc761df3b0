// Draws one token for each row of scores, filters included, without sorting the vocabulary.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu-kernels.h"
#include "cpu-primitives.h"
#include "cpu-threads.h"

namespace shim {

namespace {

struct Params {
  float temperature, top_p, top_k, min_p, uniform;
};

struct Scratch {
  std::vector<float> probs;
  std::vector<float> bin;
};

// Scores fall into bins by their distance from the largest; the last one takes all that are further away.
constexpr int kBins = 1024;
constexpr float kSpan = 24.0f;

int bin_of(float below) { return below < kSpan ? static_cast<int>(below * (kBins / kSpan)) : kBins - 1; }

// The lowest score that top-p and top-k keep, for scores x [n] with untempered numerators e [n].
float threshold(const float* x, const float* e, int64_t n, float max, const Params& p, std::vector<float>& inside) {
  int64_t counts[kBins] = {};
  double mass[kBins] = {}, total = 0;
  for (int64_t i = 0; i < n; i++) {
    float below = max - x[i];
    int b = std::isfinite(below) ? bin_of(below) : kBins - 1;
    counts[b]++;
    mass[b] += e[i];
  }
  for (double m : mass) total += m;
  auto members = [&](int wanted) {
    inside.clear();
    for (int64_t i = 0; i < n; i++) {
      float below = max - x[i];
      if ((std::isfinite(below) ? bin_of(below) : kBins - 1) == wanted) inside.push_back(x[i]);
    }
    std::sort(inside.begin(), inside.end(), std::greater<float>());
  };
  float result = -INFINITY;
  if (p.top_k > 0 && p.top_k < static_cast<float>(n)) {
    auto k = static_cast<int64_t>(p.top_k);
    int64_t before = 0;
    int b = 0;
    while (b < kBins - 1 && before + counts[b] < k) before += counts[b++];
    members(b);
    if (!inside.empty()) result = inside[std::min<int64_t>(k - before, inside.size()) - 1];
  }
  if (p.top_p < 1) {
    double wanted = p.top_p * total, before = 0;
    int b = 0;
    while (b < kBins - 1 && before + mass[b] < wanted) before += mass[b++];
    members(b);
    float last = max;
    for (float score : inside) {
      if (before >= wanted) break;
      last = score;
      before += std::exp(score - max);
    }
    result = std::max(result, last);
  }
  return result;
}

uint32_t draw(const float* x, int64_t n, const Params& p, Scratch& scratch) {
  const Kernels& k = kernels();
  int64_t best = k.argmax(x, n);
  float max = x[best];
  if (!std::isfinite(max)) return static_cast<uint32_t>(best);
  if (scratch.probs.size() < static_cast<size_t>(n)) scratch.probs.resize(n);
  float* e = scratch.probs.data();
  float low = -INFINITY;
  if (p.top_p < 1 || (p.top_k > 0 && p.top_k < static_cast<float>(n))) {
    k.exponentials(x, max, 1.0f, -INFINITY, e, n);
    low = threshold(x, e, n, max, p, scratch.bin);
  }
  if (p.min_p > 0) low = std::max(low, max + std::log(p.min_p));
  double target = p.uniform * k.exponentials(x, max, 1.0f / p.temperature, std::min(low, max), e, n), sum = 0;
  uint32_t last = static_cast<uint32_t>(best);
  for (int64_t i = 0; i < n; i++) {
    if (e[i] == 0) continue;
    sum += e[i];
    last = static_cast<uint32_t>(i);
    if (sum > target) break;
  }
  return last;
}

}  // namespace

mx::array cpu_sample(const mx::array& scores, const mx::array& params, mx::Stream s) {
  if (scores.ndim() != 2 || scores.shape(1) < 1 || params.shape() != mx::Shape({scores.shape(0), 5}))
    throw std::invalid_argument("sample: scores [n, m], params [n, 5]");
  int64_t rows = scores.shape(0), n = scores.shape(1);
  return cpu_make({static_cast<int>(rows)}, mx::uint32, "Sample", {cpu_float32(scores), cpu_float32(params)}, s, [=](const std::vector<const void*>& in, void* out) {
    parallel_for(rows, [&](int64_t r) {
      thread_local Scratch scratch;
      Params p;
      std::memcpy(&p, static_cast<const float*>(in[1]) + r * 5, sizeof(p));
      static_cast<uint32_t*>(out)[r] = draw(static_cast<const float*>(in[0]) + r * n, n, p, scratch);
    });
  });
}

mx::array cpu_mask(const mx::array& scores, const mx::array& allowed, mx::Stream s) {
  if (scores.ndim() != 2 || allowed.ndim() != 2 || allowed.shape(0) != scores.shape(0) || allowed.shape(1) < (scores.shape(1) + 31) / 32)
    throw std::invalid_argument("mask: scores [n, m], allowed [n, at least m / 32]");
  if (allowed.dtype() != mx::int32) throw std::invalid_argument("mask: the allowed tokens are bits of int32");
  int64_t rows = scores.shape(0), n = scores.shape(1), words = allowed.shape(1);
  std::vector<mx::array> inputs{cpu_float32(scores), allowed};
  return cpu_make(scores.shape(), mx::float32, "Mask", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    parallel_for(rows, [&](int64_t r) {
      const float* x = static_cast<const float*>(in[0]) + r * n;
      const uint32_t* bits = static_cast<const uint32_t*>(in[1]) + r * words;
      float* y = static_cast<float*>(out) + r * n;
      for (int64_t at = 0; at < n; at += 32) {
        uint32_t word = bits[at / 32];
        int64_t end = std::min<int64_t>(n - at, 32);
        for (int64_t i = 0; i < end; i++) y[at + i] = (word >> i) & 1 ? x[at + i] : -INFINITY;
      }
    });
  });
}

}  // namespace shim
