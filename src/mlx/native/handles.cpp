// The table of live arrays, scopes, and the error channel.
#include "shim.h"

namespace shim {

namespace {

struct Slot {
  std::optional<mx::array> value;
  uint32_t generation = 1;
  bool kept = false;
};

constexpr uint64_t kIndexBits = 24;
constexpr uint64_t kIndexMask = (1ull << kIndexBits) - 1;
constexpr uint32_t kGenerationMask = (1u << 28) - 1;

// Only the main thread touches these; the evaluator gets copies of arrays.
std::vector<Slot> slots(1);
std::vector<uint32_t> free_slots;
std::vector<uint64_t> scoped;
std::vector<size_t> scope_starts;
size_t live = 0;
std::string last_error;

uint64_t raw(Handle h) { return reinterpret_cast<uint64_t>(h); }

Slot& slot_at(uint64_t handle) {
  uint64_t index = handle & kIndexMask;
  if (index == 0 || index >= slots.size()) throw std::invalid_argument("not an array handle");
  Slot& slot = slots[index];
  if (!slot.value || slot.generation != (handle >> kIndexBits)) throw std::invalid_argument("array used after it was freed");
  return slot;
}

void free_slot(uint64_t handle) {
  uint64_t index = handle & kIndexMask;
  Slot& slot = slots[index];
  slot.value.reset();
  slot.generation = (slot.generation + 1) & kGenerationMask;
  if (slot.generation == 0) slot.generation = 1;
  slot.kept = false;
  free_slots.push_back(static_cast<uint32_t>(index));
  live--;
}

}  // namespace

void set_error(const char* message) { last_error = message; }

Handle hold(mx::array a) {
  uint64_t index;
  if (!free_slots.empty()) {
    index = free_slots.back();
    free_slots.pop_back();
  } else {
    index = slots.size();
    if (index > kIndexMask) throw std::length_error("too many live arrays");
    slots.emplace_back();
  }
  Slot& slot = slots[index];
  slot.value.emplace(std::move(a));
  slot.kept = scope_starts.empty();
  live++;
  uint64_t handle = (static_cast<uint64_t>(slot.generation) << kIndexBits) | index;
  if (!slot.kept) scoped.push_back(handle);
  return reinterpret_cast<Handle>(handle);
}

const mx::array& array_at(Handle h) { return *slot_at(raw(h)).value; }

std::optional<mx::array> optional_at(Handle h) {
  if (h == nullptr) return std::nullopt;
  return array_at(h);
}

std::vector<mx::array> arrays_at(const double* handles, int32_t n) {
  std::vector<mx::array> list;
  list.reserve(n);
  for (int32_t i = 0; i < n; i++) list.push_back(*slot_at(static_cast<uint64_t>(handles[i])).value);
  return list;
}

mx::Dtype dtype_at(int32_t value) {
  static const mx::Dtype dtypes[] = {
      mx::bool_, mx::uint8, mx::uint16, mx::uint32, mx::uint64, mx::int8, mx::int16,
      mx::int32, mx::int64, mx::float16, mx::float32, mx::float64, mx::bfloat16, mx::complex64};
  if (value < 0 || value >= 14) throw std::invalid_argument("not a dtype");
  return dtypes[value];
}

const std::string& mode_at(int32_t value) {
  static const std::string modes[] = {"affine", "mxfp4", "mxfp8", "nvfp4"};
  if (value < 0 || value >= 4) throw std::invalid_argument("not a quantization mode");
  return modes[value];
}

void end_scope() {
  if (scope_starts.empty()) throw std::logic_error("no scope is open");
  size_t start = scope_starts.back();
  scope_starts.pop_back();
  for (size_t i = start; i < scoped.size(); i++) {
    const Slot& slot = slots[scoped[i] & kIndexMask];
    if (slot.value && slot.generation == (scoped[i] >> kIndexBits) && !slot.kept) free_slot(scoped[i]);
  }
  scoped.resize(start);
}

extern "C" {

SHIM_EXPORT const char* shim_last_error() { return last_error.c_str(); }

SHIM_EXPORT bool shim_scope_begin() {
  return guard([] {
    scope_starts.push_back(scoped.size());
    return true;
  });
}

SHIM_EXPORT bool shim_scope_end() {
  return guard([] {
    end_scope();
    return true;
  });
}

// Takes an array out of its scope: it lives until it is released.
SHIM_EXPORT bool shim_keep(Handle h) {
  return guard([&] {
    slot_at(raw(h)).kept = true;
    return true;
  });
}

SHIM_EXPORT bool shim_release(Handle h) {
  return guard([&] {
    slot_at(raw(h));
    free_slot(raw(h));
    return true;
  });
}

SHIM_EXPORT double shim_live_arrays() { return static_cast<double>(live); }

SHIM_EXPORT int32_t shim_ndim(Handle h) {
  return guard([&] { return static_cast<int32_t>(array_at(h).ndim()) + 1; }) - 1;
}

SHIM_EXPORT int32_t shim_dim(Handle h, int32_t axis) {
  return guard([&] { return static_cast<int32_t>(array_at(h).shape(axis)) + 1; }) - 1;
}

SHIM_EXPORT int32_t shim_dtype(Handle h) {
  return guard([&] { return static_cast<int32_t>(array_at(h).dtype().val()) + 1; }) - 1;
}

}  // extern "C"

}  // namespace shim
