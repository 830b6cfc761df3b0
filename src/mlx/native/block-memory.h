// Memory for arrays that are many, alike and long-lived, as a prefix cache's blocks are: places in slabs of huge pages. From malloc each
// of them would be mapped anew, and a fault for every 4 KB of it takes several times as long as the copy that fills it.
#pragma once

#include "mlx/allocator.h"
#include "shim.h"

namespace shim {

// For array::set_data; throws std::bad_alloc. Any thread may call it, and drop what it returns.
mx::allocator::Data block_memory(size_t bytes);
// Gives the pages of all free places back to the system.
void trim_block_memory();
// In use, and the most that ever was.
size_t block_memory_active();
size_t block_memory_peak();

}  // namespace shim
