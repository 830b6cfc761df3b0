// Memory for arrays that come and go and should not be touched for the first time again and again: a page's first touch may take several
// times as long as the copy that fills it. Places of one size are taken in turn; free ones keep their pages as far as there is a reserve.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "mlx/allocator.h"
#include "shim.h"

namespace shim {

class PlaceMemory {
 public:
  // `least_kept`: of free places so many bytes keep their pages while there is work, whatever is reserved.
  PlaceMemory(bool huge_pages, size_t least_kept) : huge_pages_(huge_pages), least_kept_(least_kept) {}

  // `bytes` in a place with room for `room`, for array::set_data; throws when memory is out. Any thread may call it, and drop what it returns.
  // `untouched`, or null, is told how many of them have no pages yet.
  mx::allocator::Data take(size_t bytes, size_t room, size_t* untouched = nullptr);
  // Notes what touching such bytes took.
  void count_touched(size_t bytes, double seconds);
  struct Touched {
    size_t bytes;
    double seconds;
  };
  Touched touched();
  // Whether a buffer that `take` gave has room for so many bytes; from now on they are in use.
  bool extend(mx::allocator::Buffer buffer, size_t bytes);
  // Of free places so many bytes keep their pages from now on.
  void reserve(size_t bytes);
  // Touches some of a free place for so many bytes, unless there are `reserve` bytes of such places that have their pages. False when there is
  // nothing to do.
  bool prepare(size_t bytes, size_t reserve);
  // Gives the pages of free places beyond `bytes`, or beyond the reserve, back to the system.
  void trim(size_t bytes);
  void trim();
  // Free with its pages.
  size_t kept();

 private:
  struct Free {
    char* start;
    size_t touched;  // so many bytes from the start on have pages
  };
  // Free places of one size: those that have pages, the most touched last.
  struct Places {
    std::vector<Free> warm;
    std::vector<char*> cold;
  };
  struct Taken {
    char* start;
    size_t place, used, touched;
  };

  void add_slab(Places& places, size_t place);
  Free take_cold(Places& places, size_t place);
  Free take_free(Places& places, size_t place);
  void add_warm(Places& places, Free free);
  void drop(Places& places, Free free);
  void give_back(mx::allocator::Buffer buffer);

  [[maybe_unused]] const bool huge_pages_;
  const size_t least_kept_;
  std::mutex mutex_;
  std::map<size_t, Places> places_;
  std::unordered_map<const void*, Taken> taken_;
  size_t kept_ = 0, reserved_ = 0;
  Touched touched_{0, 0};
};

// The prefix cache's blocks: many, alike and small.
PlaceMemory& block_places();
// Cache rows: few and large, and they grow where they are.
PlaceMemory& row_places();
// In use of both and of MLX's buffers together, and the most that ever was.
size_t total_active();
size_t total_peak();

}  // namespace shim
