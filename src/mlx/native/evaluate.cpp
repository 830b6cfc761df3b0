// Two threads take evaluation off the caller's: the evaluator runs graphs in the order of their submission (MLX's CPU
// backend blocks whoever evaluates once about 100 operations are pending), the waiter waits for their results and calls back.
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "mlx/scheduler.h"
#include "shim.h"

namespace shim {

void prepare_blas();

namespace {

struct Ticket {
  uint32_t id = 0;
  std::vector<mx::array> outputs;  // everything to compute; dropped once it is under way, so that no cache has a second holder
  std::vector<mx::array> awaited;  // what the caller will read
  std::vector<mx::array> stand_ins;  // the waiter's own, with the events of the awaited
  std::string error;
  bool done = false;
  bool synchronous = false;
};

using Callback = void (*)(uint32_t id, bool ok);

struct Queue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<Ticket>> list;

  void push(std::shared_ptr<Ticket> t) {
    std::lock_guard lock(mutex);
    list.push_back(std::move(t));
    changed.notify_one();
  }
  std::shared_ptr<Ticket> pop() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return !list.empty(); });
    auto t = std::move(list.front());
    list.pop_front();
    return t;
  }
};

// Never destroyed: the threads outlive main().
Queue& to_evaluate = *new Queue;
Queue& to_await = *new Queue;
std::mutex& finished_mutex = *new std::mutex;
std::condition_variable& finished = *new std::condition_variable;
std::vector<std::shared_ptr<Ticket>>& failed = *new std::vector<std::shared_ptr<Ticket>>;
Callback callback = nullptr;
uint32_t next_id = 1;
std::optional<mx::Stream> the_stream;

template <typename F>
void record_error(Ticket& t, F&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    if (t.error.empty()) t.error = e.what();
  } catch (...) {
    if (t.error.empty()) t.error = "unknown native exception";
  }
}

// Waiting drops an array's event, and so does the evaluator when a later graph uses the array: two threads must not do it to
// the same one.
mx::array stand_in(const mx::array& a) {
  mx::array other(false);
  if (a.event().valid()) {
    other.attach_event(a.event());
    other.set_status(mx::array::Status::evaluated);
  }
  return other;
}

void evaluator() {
  mx::set_default_stream(*the_stream);
  for (;;) {
    auto t = to_evaluate.pop();
    record_error(*t, [&] {
      mx::async_eval(std::move(t->outputs));
      for (const auto& a : t->awaited) t->stand_ins.push_back(stand_in(a));
    });
    t->outputs.clear();
    to_await.push(std::move(t));
  }
}

void waiter() {
  for (;;) {
    auto t = to_await.pop();
    record_error(*t, [&] {
      if (t->error.empty())
        for (auto& a : t->stand_ins) a.wait();
    });
    bool ok = t->error.empty();
    bool synchronous = t->synchronous;
    {
      std::lock_guard lock(finished_mutex);
      t->awaited.clear();
      t->stand_ins.clear();
      t->done = true;
      if (!ok && !synchronous) failed.push_back(t);
    }
    if (synchronous)
      finished.notify_all();
    else if (callback)
      callback(t->id, ok);
  }
}

std::shared_ptr<Ticket> make_ticket(const double* handles, int32_t n, int32_t awaited) {
  if (awaited > n) throw std::invalid_argument("more arrays awaited than submitted");
  auto t = std::make_shared<Ticket>();
  t->id = next_id++;
  t->outputs = arrays_at(handles, n);
  t->awaited.assign(t->outputs.begin(), t->outputs.begin() + awaited);
  return t;
}

}  // namespace

mx::Stream stream() {
  if (!the_stream) throw std::logic_error("MLX is not open");
  return *the_stream;
}

extern "C" {

// Starts the threads and opens the stream, on the GPU where there is one unless `cpu` asks otherwise. `on_done` may be
// called from another thread. Returns 1 for a GPU, 2 for the CPU, 0 for an error.
SHIM_EXPORT int32_t shim_open(bool cpu, Callback on_done) {
  return guard([&]() -> int32_t {
    callback = on_done;
    bool gpu = !cpu && mx::is_available(mx::Device(mx::Device::gpu));
    if (!the_stream) {
      mx::Device device(gpu ? mx::Device::gpu : mx::Device::cpu);
      mx::set_default_device(device);
      the_stream = mx::new_thread_unsafe_stream(device);
      mx::set_default_stream(*the_stream);
      // Whoever asks for the scheduler first is the main thread to MLX. To that one, errors of tasks are thrown in the midst of enqueuing others,
      // after these have been counted as active (0.32.4): their count stays too high, and from 2 on the evaluator may wait forever.
      mx::scheduler::scheduler();
      prepare_blas();
      std::thread(evaluator).detach();
      std::thread(waiter).detach();
    }
    return gpu ? 1 : 2;
  });
}

// Closes the innermost scope, then has the arrays computed; after the first `awaited` of them are available the callback
// comes. Returns the ticket's number, 0 for an error. The scope is closed first, so that its handles hold no cache.
SHIM_EXPORT uint32_t shim_submit(const double* handles, int32_t n, int32_t awaited) {
  return guard([&]() -> uint32_t {
    std::shared_ptr<Ticket> t;
    try {
      t = make_ticket(handles, n, awaited);
    } catch (...) {
      end_scope();
      throw;
    }
    end_scope();
    uint32_t id = t->id;
    to_evaluate.push(std::move(t));
    return id;
  });
}

// Why a ticket failed, given out once; empty when it did not.
SHIM_EXPORT const char* shim_ticket_error(uint32_t id) {
  static std::string message;
  return guard([&]() -> const char* {
    std::lock_guard lock(finished_mutex);
    message.clear();
    for (size_t i = 0; i < failed.size(); i++) {
      if (failed[i]->id != id) continue;
      message = failed[i]->error;
      failed.erase(failed.begin() + i);
      break;
    }
    return message.c_str();
  });
}

// Computes and waits on the calling thread: for loading and tools, not while a server runs.
SHIM_EXPORT bool shim_eval(const double* handles, int32_t n) {
  return guard([&] {
    auto t = make_ticket(handles, n, n);
    t->synchronous = true;
    to_evaluate.push(t);
    std::unique_lock lock(finished_mutex);
    finished.wait(lock, [&] { return t->done; });
    if (!t->error.empty()) throw std::runtime_error(t->error);
    return true;
  });
}

}  // extern "C"

}  // namespace shim
