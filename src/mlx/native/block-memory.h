// Memory for arrays that are many, alike and long-lived, as a prefix cache's blocks are: places in slabs of huge pages. From malloc each
// of them would be mapped anew, and a fault for every 4 KB of it takes several times as long as the copy that fills it.
#pragma once

#include "mlx/allocator.h"
#include "shim.h"

namespace shim {

// For array::set_data; throws std::bad_alloc. Any thread may call it, and drop what it returns.
mx::allocator::Data block_memory(size_t bytes);
// Touches the pages of a free place for so many bytes, when fewer than `reserve` bytes of such places have theirs: the first touch of a page may
// take longer than the copy into it. False when there is nothing to do. From now on so much is kept; 0 for nothing.
bool prepare_block_memory(size_t bytes, size_t reserve);
// Gives the pages of free places beyond the reserve back to the system.
void trim_block_memory();
// In use, the most that ever was, and free with its pages.
size_t block_memory_active();
size_t block_memory_peak();
size_t block_memory_kept();

}  // namespace shim
