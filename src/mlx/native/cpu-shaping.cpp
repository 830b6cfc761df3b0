// Filters of scores that are no single threshold on the probabilities; each works on what the ones before have left.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu-kernels.h"
#include "cpu-primitives.h"
#include "cpu-threads.h"

namespace shim {

namespace {

struct Filters {
  float sigma, typical, top_p, min_p, xtc, top_k;
};

struct Item {
  float key, mass;
};

constexpr int64_t kSmall = 64;

// The key of the item with which, in ascending order of keys, the mass reaches `wanted`; the largest if it never does. By halving
// around the median, so without sorting more than a few.
float key_at(std::vector<Item>& items, double wanted) {
  auto smaller = [](const Item& a, const Item& b) { return a.key < b.key; };
  int64_t low = 0, high = static_cast<int64_t>(items.size());
  double before = 0;
  while (high - low > kSmall) {
    int64_t middle = low + (high - low) / 2;
    std::nth_element(items.begin() + low, items.begin() + middle, items.begin() + high, smaller);
    double half = 0;
    for (int64_t i = low; i < middle; i++) half += items[i].mass;
    if (before + half >= wanted) {
      high = middle;
    } else {
      before += half;
      low = middle;
    }
  }
  std::sort(items.begin() + low, items.begin() + high, smaller);
  for (int64_t i = low; i < high; i++) {
    before += items[i].mass;
    if (before >= wanted) return items[i].key;
  }
  return items[high - 1].key;
}

// What is left of a row: -infinity where a score has been removed.
class Row {
 public:
  Row(const float* x, float* y, int64_t n, std::vector<Item>& items) : y_(y), n_(n), items_(items) { std::memcpy(y, x, n * sizeof(float)); }

  float max() const { return y_[kernels().argmax(y_, n_)]; }

  void keep_from(float lowest) {
    for (int64_t i = 0; i < n_; i++)
      if (!(y_[i] >= lowest)) y_[i] = -INFINITY;
  }

  void within_sigma(float n) {
    double sum = 0, squares = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < n_; i++) {
      if (!std::isfinite(y_[i])) continue;
      sum += y_[i];
      count++;
    }
    double mean = sum / count;
    for (int64_t i = 0; i < n_; i++)
      if (std::isfinite(y_[i])) squares += (y_[i] - mean) * (y_[i] - mean);
    keep_from(static_cast<float>(max() - n * std::sqrt(squares / count)));
  }

  void typical(float wanted) {
    float largest = max();
    double total = 0, weighted = 0;
    for (int64_t i = 0; i < n_; i++) {
      float e = std::exp(y_[i] - largest);
      if (e == 0) continue;
      total += e;
      weighted += e * (y_[i] - largest);
    }
    // The surprise of a score x is log(total) - (x - largest); the expected one differs by what is weighed.
    auto expected = static_cast<float>(weighted / total);
    auto distance = [&](float x) { return std::abs(expected - (x - largest)); };
    collect(largest, distance);
    float furthest = key_at(items_, wanted * total);
    for (int64_t i = 0; i < n_; i++)
      if (!(distance(y_[i]) <= furthest)) y_[i] = -INFINITY;
  }

  void top_p(float wanted) {
    double total = collect(max(), [](float x) { return -x; });
    keep_from(-key_at(items_, wanted * total));
  }

  // Of the scores with more than this probability all but the lowest are removed, exempt ones excepted.
  void exclude_top_choices(float probability, const int32_t* exempt, int64_t count) {
    float largest = max();
    double total = 0;
    for (int64_t i = 0; i < n_; i++) total += std::exp(y_[i] - largest);
    auto above = static_cast<float>(largest + std::log(probability * total));
    float least = INFINITY;
    for (int64_t i = 0; i < n_; i++)
      if (y_[i] > above) least = std::min(least, y_[i]);
    if (least == INFINITY) return;
    items_.clear();
    for (int64_t i = 0; i < count; i++)
      if (exempt[i] >= 0 && exempt[i] < n_) items_.push_back({y_[exempt[i]], static_cast<float>(i)});
    for (int64_t i = 0; i < n_; i++)
      if (y_[i] > least) y_[i] = -INFINITY;
    for (const Item& item : items_) y_[exempt[static_cast<int64_t>(item.mass)]] = item.key;
  }

  void top_k(int64_t k) {
    collect(max(), [](float x) { return -x; });
    if (k >= static_cast<int64_t>(items_.size())) return;
    std::nth_element(items_.begin(), items_.begin() + (k - 1), items_.end(), [](const Item& a, const Item& b) { return a.key < b.key; });
    keep_from(-items_[k - 1].key);
  }

 private:
  // All scores that are left, with keys; returns their mass. The largest score is always among them.
  template <typename Key>
  double collect(float largest, Key key) {
    double total = 0;
    items_.clear();
    for (int64_t i = 0; i < n_; i++) {
      float e = std::exp(y_[i] - largest);
      if (e == 0) continue;
      items_.push_back({key(y_[i]), e});
      total += e;
    }
    return total;
  }

  float* y_;
  int64_t n_;
  std::vector<Item>& items_;
};

}  // namespace

mx::array cpu_shape(const mx::array& scores, const mx::array& filters, const mx::array& exempt, mx::Stream s) {
  if (scores.ndim() != 2 || scores.shape(1) < 1 || filters.shape() != mx::Shape({scores.shape(0), 6}))
    throw std::invalid_argument("shape: scores [n, m], filters [n, 6]");
  if (exempt.ndim() != 2 || exempt.shape(0) != scores.shape(0) || exempt.dtype() != mx::int32)
    throw std::invalid_argument("shape: exempt ids are int32 [n, w]");
  int64_t rows = scores.shape(0), n = scores.shape(1), width = exempt.shape(1);
  std::vector<mx::array> inputs{cpu_float32(scores), cpu_float32(filters), exempt};
  return cpu_make(scores.shape(), mx::float32, "Shape", std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    parallel_for(rows, [&](int64_t r) {
      thread_local std::vector<Item> items;
      Filters f;
      std::memcpy(&f, static_cast<const float*>(in[1]) + r * 6, sizeof(f));
      Row row(static_cast<const float*>(in[0]) + r * n, static_cast<float*>(out) + r * n, n, items);
      // Without any number there is nothing to choose from.
      if (!std::isfinite(row.max())) return;
      if (f.sigma > 0) row.within_sigma(f.sigma);
      if (f.typical < 1) row.typical(f.typical);
      if (f.top_p < 1) row.top_p(f.top_p);
      if (f.min_p > 0) row.keep_from(row.max() + std::log(f.min_p));
      if (f.xtc < 1) row.exclude_top_choices(f.xtc, static_cast<const int32_t*>(in[2]) + r * width, width);
      if (f.top_k > 0 && f.top_k < static_cast<float>(n)) row.top_k(static_cast<int64_t>(f.top_k));
    });
  });
}

}  // namespace shim
