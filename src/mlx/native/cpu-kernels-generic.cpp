// The CPU loops for any processor.
#define KERNELS kernels_generic
#define KERNELS_NAME "generic"
#define LANES 4
#define ROWS 6
#define VECTORS 2
#include "cpu-kernels.inc"
