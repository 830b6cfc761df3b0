// What the files of the shim share: handles for arrays, the error channel, the stream.
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "mlx/mlx.h"

namespace mx = mlx::core;

#define SHIM_EXPORT __attribute__((visibility("default")))

namespace shim {

// A slot index and its generation in one number below 2^52, so that a handle used after its array was freed is an error
// and not a crash. It crosses the FFI as a pointer, which JavaScript sees as a plain number; 0 is null.
using Handle = void*;

// The stream of everything. It belongs to no thread: the main thread builds graphs on it, the evaluator runs them.
mx::Stream stream();
#define S (shim::stream())

// Puts an array into the table, owned by the innermost scope.
Handle hold(mx::array a);
const mx::array& array_at(Handle h);
std::optional<mx::array> optional_at(Handle h);
std::vector<mx::array> arrays_at(const double* handles, int32_t n);
mx::Dtype dtype_at(int32_t value);
const std::string& mode_at(int32_t value);
inline mx::Shape shape_of(const std::vector<int>& v) { return mx::Shape(v.begin(), v.end()); }

// Frees what the innermost scope still owns.
void end_scope();

void set_error(const char* message);

// Runs an entry point; an exception becomes the last error and a value-initialised result (null, 0, false).
template <typename F>
auto guard(F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const std::exception& e) {
    set_error(e.what());
  } catch (...) {
    set_error("unknown native exception");
  }
  return decltype(f())();
}

// updates.cpp
mx::array scatter_rows(const mx::array& a, const mx::array& rows, const mx::array& updates, mx::Stream s);
mx::array scatter_positions(
    const mx::array& a, const mx::array& rows, const mx::array& positions, const mx::array& updates, mx::Stream s);
mx::array renew(const mx::array& a, const std::vector<mx::array>& after, mx::Stream s);

// recurrence.cpp
mx::array fused_gated_delta(const mx::array& q, const mx::array& k, const mx::array& v, const mx::array& g, const mx::array& beta, const mx::array& state, mx::Stream s);

}  // namespace shim
