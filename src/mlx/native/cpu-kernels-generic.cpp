// The CPU loops for any processor.
#define KERNELS kernels_generic
#define KERNELS_NAME "generic"
#define ROWS 6
#define LANES_OF_16 1
#include "cpu-kernels.inc"
