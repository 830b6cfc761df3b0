#include "cpu-threads.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sched.h>
#endif

namespace shim {

namespace {

// Items are taken one by one, so a helper that the system has put aside holds up one item at most; one that wakes up late
// finds the gate closed. Helpers spin for a moment after their work, as the next primitive often follows at once, and then
// sleep: a core that spins for long is taken from whoever serves the clients.
struct Pool {
  std::atomic<uint32_t> epoch{0};
  std::atomic<int64_t> gate{kClosed};  // helpers inside; far below zero when closed
  std::atomic<int64_t> next{0};
  int64_t count = 0;
  void (*work)(void*, int64_t) = nullptr;
  void* context = nullptr;
  std::mutex error_mutex;
  std::exception_ptr error;
  int threads = 1;

  static constexpr int64_t kClosed = -(int64_t{1} << 40);
  static constexpr int kSpins = 2000;

  void run() {
    for (;;) {
      int64_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= count) return;
      try {
        work(context, i);
      } catch (...) {
        std::lock_guard lock(error_mutex);
        error = std::current_exception();
      }
    }
  }

  void help() {
    uint32_t seen = 0;
    for (;;) {
      for (int spins = 0; epoch.load(std::memory_order_acquire) == seen && spins < kSpins; spins++) pause();
      epoch.wait(seen, std::memory_order_acquire);
      seen = epoch.load(std::memory_order_acquire);
      if (gate.fetch_add(1, std::memory_order_acq_rel) >= 0) run();
      gate.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
  }
};

// Those that this process may use, which can be fewer than the machine has.
int available_cores() {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) return CPU_COUNT(&allowed);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

// Never destroyed: its threads outlive main().
Pool& pool() {
  static Pool& instance = *[] {
    auto* p = new Pool;
    const char* set = std::getenv("MLX_CB_THREADS");
    p->threads = set ? std::clamp(std::atoi(set), 1, 64) : std::clamp(available_cores(), 1, 16);
    for (int i = 1; i < p->threads; i++) std::thread([p] { p->help(); }).detach();
    return p;
  }();
  return instance;
}

}  // namespace

int compute_threads() { return pool().threads; }

void parallel_for(int64_t n, void (*work)(void*, int64_t), void* context) {
  Pool& p = pool();
  if (p.threads == 1 || n <= 1) {
    for (int64_t i = 0; i < n; i++) work(context, i);
    return;
  }
  p.work = work;
  p.context = context;
  p.count = n;
  p.next.store(0, std::memory_order_relaxed);
  p.gate.fetch_sub(Pool::kClosed, std::memory_order_acq_rel);
  p.epoch.fetch_add(1, std::memory_order_release);
  p.epoch.notify_all();
  p.run();
  p.gate.fetch_add(Pool::kClosed, std::memory_order_acq_rel);
  while (p.gate.load(std::memory_order_acquire) > Pool::kClosed) Pool::pause();
  if (p.error) std::rethrow_exception(std::exchange(p.error, nullptr));
}

}  // namespace shim
