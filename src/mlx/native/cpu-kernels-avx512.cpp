// The CPU loops for AVX-512.
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")
#endif
#define KERNELS kernels_avx512
#define KERNELS_NAME "avx512"
#define LANES 16
#define ROWS 14
#define VECTORS 2
#include "cpu-kernels.inc"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
