// Chooses the loops for the processor at hand.
#include "cpu-kernels.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace shim {

extern const Kernels kernels_generic;
#if defined(__x86_64__)
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#endif

namespace {

// The best that the processor has, or what MLX_CB_KERNELS names (for tests; one that the processor lacks is ignored).
const Kernels& choose() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const char* named = std::getenv("MLX_CB_KERNELS");
  auto wanted = [&](const char* name) { return named == nullptr || std::strcmp(named, name) == 0; };
  bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq");
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx512 && wanted("avx512")) return kernels_avx512;
  if (avx2 && wanted("avx2")) return kernels_avx2;
#endif
  return kernels_generic;
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

int64_t attention_scratch(const AttentionTask& t) {
  if (t.one_by_one()) return t.keys - t.first_seen(t.keys - 1) + 16;
  int64_t rows = std::max<int64_t>(kQueryRows, t.heads) + kPanel;
  int64_t padded = (t.value_dim + kPanel - 1) / kPanel * kPanel;
  return rows * (t.dim + padded + 2) + 2 * 64 * kPanel + 64;
}

int64_t scan_scratch(int64_t dim) {
  int64_t padded = (dim + 15) / 16 * 16;
  return (2 * kScanTokens + 16) * padded + 3 * kScanTokens;
}

}  // namespace shim
