#include "block-memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace shim {

namespace {

constexpr size_t kHugePage = size_t{1} << 21;
constexpr size_t kSmallPage = size_t{1} << 12;
constexpr size_t kSlab = size_t{1} << 25;
constexpr size_t kAlignment = 64;
// Free places whose pages are kept at least while there is work; of others they go back to the system.
constexpr size_t kKept = size_t{1} << 26;

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// Places of one size.
struct Places {
  std::vector<char*> warm, cold;  // with and without pages
};

std::mutex mutex;
std::map<size_t, Places>& all_places() {
  static auto* places = new std::map<size_t, Places>;  // arrays may outlive static objects
  return *places;
}
size_t active = 0, peak = 0, kept = 0, reserved = 0;

size_t place_of(size_t bytes) { return round_up(bytes, kAlignment) + kAlignment; }

// A slab's memory is only ever mapped once: its places are taken again and again.
void add_slab(Places& places, size_t place) {
  size_t count = std::max<size_t>(1, kSlab / place), bytes = round_up(count * place, kHugePage);
  // To begin at a huge page, some more is mapped; what is not touched costs nothing.
  void* mapped = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* slab = reinterpret_cast<char*>(round_up(reinterpret_cast<size_t>(mapped), kHugePage));
#ifdef MADV_HUGEPAGE
  // Without them it is only slower.
  (void)madvise(slab, bytes, MADV_HUGEPAGE);
#endif
  for (size_t i = count; i-- > 0;) places.cold.push_back(slab + i * place);
}

char* pop(std::vector<char*>& from) {
  char* taken = from.back();
  from.pop_back();
  return taken;
}

char* take_cold(Places& places, size_t place) {
  if (places.cold.empty()) add_slab(places, place);
  return pop(places.cold);
}

char* take(size_t place) {
  std::lock_guard lock(mutex);
  Places& places = all_places()[place];
  bool warm = !places.warm.empty();
  char* taken = warm ? pop(places.warm) : take_cold(places, place);
  if (warm) kept -= place;
  active += place;
  peak = std::max(peak, active);
  return taken;
}

// The pages that lie wholly in a place.
void drop_pages(char* start, size_t place) {
  size_t begin = round_up(reinterpret_cast<size_t>(start), kSmallPage);
  size_t end = (reinterpret_cast<size_t>(start) + place) / kSmallPage * kSmallPage;
  if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void give_back(char* taken, size_t place) {
  std::lock_guard lock(mutex);
  Places& places = all_places()[place];
  active -= place;
  if (kept + place <= std::max(kKept, reserved)) {
    kept += place;
    places.warm.push_back(taken);
    return;
  }
  drop_pages(taken, place);
  places.cold.push_back(taken);
}

}  // namespace

mx::allocator::Data block_memory(size_t bytes) {
  size_t place = place_of(bytes);
  char* taken = take(place);
  // A buffer of MLX's CPU allocator begins with its size, before the first number.
  char* header = taken + kAlignment - sizeof(size_t);
  *reinterpret_cast<size_t*>(header) = bytes;
  return {mx::allocator::Buffer(header), [taken, place](mx::allocator::Buffer) { give_back(taken, place); }};
}

bool prepare_block_memory(size_t bytes, size_t reserve) {
  size_t place = place_of(bytes);
  char* start = nullptr;
  {
    std::lock_guard lock(mutex);
    reserved = reserve;
    Places& places = all_places()[place];
    if ((places.warm.size() + 1) * place > reserve) return false;
    start = take_cold(places, place);
  }
  std::memset(start, 0, place);
  std::lock_guard lock(mutex);
  all_places()[place].warm.push_back(start);
  kept += place;
  return true;
}

void trim_block_memory() {
  std::lock_guard lock(mutex);
  for (auto& [place, places] : all_places()) {
    while (!places.warm.empty() && kept > reserved) {
      places.cold.push_back(pop(places.warm));
      drop_pages(places.cold.back(), place);
      kept -= place;
    }
  }
}

size_t block_memory_active() {
  std::lock_guard lock(mutex);
  return active;
}

size_t block_memory_peak() {
  std::lock_guard lock(mutex);
  return peak;
}

size_t block_memory_kept() {
  std::lock_guard lock(mutex);
  return kept;
}

}  // namespace shim
