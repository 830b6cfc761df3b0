// Shares the work of one CPU primitive among the cores.
#pragma once

#include <cstdint>

namespace shim {

// Calls work(context, i) for each i below n, on the calling thread and on helpers that are free to join. Items should take
// some 10 µs or more. One call at a time: only the stream's thread uses it. An exception of an item is thrown on at the end.
void parallel_for(int64_t n, void (*work)(void* context, int64_t i), void* context);

template <typename F>
void parallel_for(int64_t n, F&& f) {
  parallel_for(n, [](void* context, int64_t i) { (*static_cast<F*>(context))(i); }, &f);
}

// Threads that compute, the caller included.
int compute_threads();

}  // namespace shim
