// MLX's Linux wheel is linked to the reference BLAS (4.5 GFLOPS). The shim is the root of the dlopen, so its cblas_sgemm
// is found before that one; it forwards to OpenBLAS.
#if defined(__linux__)
#include "shim.h"

extern "C" {

void scipy_cblas_sgemm(
    int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float* a, int lda, const float* b, int ldb,
    float beta, float* c, int ldc);
void scipy_openblas_set_num_threads(int threads);

SHIM_EXPORT void cblas_sgemm(
    int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float* a, int lda, const float* b, int ldb,
    float beta, float* c, int ldc) {
  scipy_cblas_sgemm(order, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

}  // extern "C"

namespace shim {
// Two spinning BLAS threads on two busy cores lose everything: one is the best here.
void prepare_blas() { scipy_openblas_set_num_threads(1); }
}  // namespace shim
#else
namespace shim {
void prepare_blas() {}
}  // namespace shim
#endif
