// The CPU loops for AVX2 with FMA.
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif
#define KERNELS kernels_avx2
#define KERNELS_NAME "avx2"
#define LANES 8
#define ROWS 6
#define VECTORS 2
#include "cpu-kernels.inc"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
