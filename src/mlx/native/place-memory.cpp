#include "place-memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "mlx/memory.h"

namespace shim {

namespace {

constexpr size_t kHugePage = size_t{1} << 21;
constexpr size_t kSmallPage = size_t{1} << 12;
constexpr size_t kSlab = size_t{1} << 25;
constexpr size_t kAlignment = 64;
// What `prepare` touches at once: a millisecond, about.
constexpr size_t kPiece = size_t{1} << 19;

// Of all places, and the most that they and MLX's buffers have ever had at the same time.
std::mutex total_mutex;
size_t active = 0, peak = 0;

// Between two changes here MLX's own peak stands beside the same number of ours.
void note_peak() { peak = std::max(peak, active + std::max(mx::get_peak_memory(), mx::get_active_memory())); }

void count_active(size_t before, size_t now) {
  std::lock_guard lock(total_mutex);
  note_peak();
  mx::reset_peak_memory();
  active += now - before;
}

[[noreturn]] void fail() { throw std::runtime_error("out of memory"); }

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// A buffer of MLX's CPU allocator begins with its size, before the first number.
size_t place_of(size_t bytes) {
  if (bytes > SIZE_MAX / 2) fail();
  return round_up(bytes, kAlignment) + kAlignment;
}

mx::allocator::Buffer buffer_in(char* start, size_t bytes) {
  char* header = start + kAlignment - sizeof(size_t);
  *reinterpret_cast<size_t*>(header) = bytes;
  return mx::allocator::Buffer(header);
}

}  // namespace

// A slab's memory is only ever mapped once: its places are taken again and again.
void PlaceMemory::add_slab(Places& places, size_t place) {
  size_t count = std::max<size_t>(1, kSlab / place), bytes = round_up(count * place, kHugePage);
  // To begin at a huge page, some more is mapped; what is not touched costs nothing.
  void* mapped = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) fail();
  auto* slab = reinterpret_cast<char*>(round_up(reinterpret_cast<size_t>(mapped), kHugePage));
#ifdef MADV_HUGEPAGE
  // Without them it is only slower.
  if (huge_pages_) (void)madvise(slab, bytes, MADV_HUGEPAGE);
#endif
  for (size_t i = count; i-- > 0;) places.cold.push_back(slab + i * place);
}

PlaceMemory::Free PlaceMemory::take_cold(Places& places, size_t place) {
  if (places.cold.empty()) add_slab(places, place);
  char* start = places.cold.back();
  places.cold.pop_back();
  return {start, 0};
}

PlaceMemory::Free PlaceMemory::take_free(Places& places, size_t place) {
  if (!places.warm.empty()) {
    Free taken = places.warm.back();
    places.warm.pop_back();
    kept_ -= taken.touched;
    return taken;
  }
  return take_cold(places, place);
}

void PlaceMemory::add_warm(Places& places, Free free) {
  auto more = [](size_t touched, const Free& other) { return touched < other.touched; };
  places.warm.insert(std::upper_bound(places.warm.begin(), places.warm.end(), free.touched, more), free);
  kept_ += free.touched;
}

// Only pages that lie wholly in the place.
void PlaceMemory::drop(Places& places, Free free) {
  size_t begin = round_up(reinterpret_cast<size_t>(free.start), kSmallPage);
  size_t end = (reinterpret_cast<size_t>(free.start) + free.touched) / kSmallPage * kSmallPage;
  if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  places.cold.push_back(free.start);
}

mx::allocator::Data PlaceMemory::take(size_t bytes, size_t room, size_t* untouched) {
  size_t place = place_of(std::max(bytes, room)), used = place_of(bytes);
  std::lock_guard lock(mutex_);
  Free free = take_free(places_[place], place);
  mx::allocator::Buffer buffer = buffer_in(free.start, bytes);
  taken_[buffer.ptr()] = {free.start, place, used, std::max(free.touched, used)};
  count_active(0, used);
  if (untouched) *untouched = used > free.touched ? used - free.touched : 0;
  return {buffer, [this](mx::allocator::Buffer b) { give_back(b); }};
}

void PlaceMemory::count_touched(size_t bytes, double seconds) {
  std::lock_guard lock(mutex_);
  touched_.bytes += bytes;
  touched_.seconds += seconds;
}

PlaceMemory::Touched PlaceMemory::touched() {
  std::lock_guard lock(mutex_);
  return touched_;
}

bool PlaceMemory::extend(mx::allocator::Buffer buffer, size_t bytes) {
  size_t used = place_of(bytes);
  std::lock_guard lock(mutex_);
  auto found = taken_.find(buffer.ptr());
  if (found == taken_.end() || used > found->second.place) return false;
  Taken& taken = found->second;
  buffer_in(taken.start, bytes);
  count_active(taken.used, used);
  taken.used = used;
  taken.touched = std::max(taken.touched, used);
  return true;
}

void PlaceMemory::give_back(mx::allocator::Buffer buffer) {
  std::lock_guard lock(mutex_);
  auto found = taken_.find(buffer.ptr());
  auto [start, place, used, touched] = found->second;
  taken_.erase(found);
  count_active(used, 0);
  if (kept_ + touched <= std::max(least_kept_, reserved_)) add_warm(places_[place], {start, touched});
  else drop(places_[place], {start, touched});
}

void PlaceMemory::reserve(size_t bytes) {
  std::lock_guard lock(mutex_);
  reserved_ = bytes;
}

bool PlaceMemory::prepare(size_t bytes, size_t reserve) {
  size_t place = place_of(bytes);
  Free free{};
  {
    std::lock_guard lock(mutex_);
    Places& places = places_[place];
    bool begun = !places.warm.empty() && places.warm.front().touched < place;
    if ((places.warm.size() + (begun ? 0 : 1)) * place > reserve) return false;
    if (begun) {
      free = places.warm.front();
      kept_ -= free.touched;
      places.warm.erase(places.warm.begin());
    } else {
      free = take_cold(places, place);
    }
  }
  size_t piece = std::min(kPiece, place - free.touched);
  std::memset(free.start + free.touched, 0, piece);
  free.touched += piece;
  std::lock_guard lock(mutex_);
  add_warm(places_[place], free);
  return true;
}

void PlaceMemory::trim(size_t bytes) {
  std::lock_guard lock(mutex_);
  for (auto& [place, places] : places_) {
    while (!places.warm.empty() && kept_ > bytes) {
      Free free = places.warm.back();
      places.warm.pop_back();
      kept_ -= free.touched;
      drop(places, free);
    }
  }
}

void PlaceMemory::trim() { trim(reserved_); }

size_t PlaceMemory::kept() {
  std::lock_guard lock(mutex_);
  return kept_;
}

// Arrays may outlive static objects.
PlaceMemory& block_places() {
  static auto* places = new PlaceMemory(true, size_t{1} << 26);
  return *places;
}

PlaceMemory& row_places() {
  static auto* places = new PlaceMemory(false, 0);
  return *places;
}

size_t total_active() {
  std::lock_guard lock(total_mutex);
  return active + mx::get_active_memory();
}

size_t total_peak() {
  std::lock_guard lock(total_mutex);
  note_peak();
  return peak;
}

}  // namespace shim
