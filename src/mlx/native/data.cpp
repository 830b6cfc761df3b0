// Bytes in and out, memory figures.
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place-memory.h"
#include "shim.h"

namespace shim {

namespace {

PlaceMemory& places(int rows) { return rows != 0 ? row_places() : block_places(); }

mx::Shape checked_shape(const int32_t* shape, int32_t ndim, mx::Dtype dtype, double bytes) {
  mx::Shape s(shape, shape + ndim);
  double size = dtype.size();
  for (int d : s) {
    if (d < 0) throw std::invalid_argument("negative dimension");
    size *= d;
  }
  if (size != bytes) throw std::invalid_argument("data size and shape differ");
  return s;
}

// Memory for an array's elements, aligned as Metal wants it. Large blocks are the system's own: they go back to it at once, where
// malloc would keep some of what a checkpoint's tensors took.
struct Block {
  static constexpr size_t kPage = 16384, kLarge = 1 << 20;
  size_t size;
  void* data;

  explicit Block(size_t bytes) : size((bytes + kPage) / kPage * kPage) {
    data = size >= kLarge ? ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0) : std::aligned_alloc(kPage, size);
    if (data == MAP_FAILED || data == nullptr) throw std::runtime_error("out of memory");
  }
  void free() const {
    if (size >= kLarge)
      ::munmap(data, size);
    else
      std::free(data);
  }
};

// MLX shares the block where the device can use it and copies it otherwise.
mx::array adopt(Block block, mx::Shape shape, mx::Dtype dtype) {
  return mx::array(block.data, std::move(shape), dtype, [block](void*) { block.free(); });
}

struct File {
  int fd;
  explicit File(const char* path) : fd(::open(path, O_RDONLY | O_CLOEXEC)) {
    if (fd < 0) throw std::runtime_error(std::string(path) + ": " + std::strerror(errno));
  }
  ~File() { ::close(fd); }
};

}  // namespace

extern "C" {

SHIM_EXPORT Handle shim_from_data(const void* data, double bytes, int32_t dtype, const int32_t* shape, int32_t ndim) {
  return guard([&]() -> Handle {
    mx::Dtype type = dtype_at(dtype);
    mx::Shape s = checked_shape(shape, ndim, type, bytes);
    auto n = static_cast<size_t>(bytes);
    Block block(n);
    if (n > 0) std::memcpy(block.data, data, n);
    return hold(adopt(block, std::move(s), type));
  });
}

// Reads `bytes` at `offset` of a file; the caller has checked that header and file agree, a file cut short since is an error.
SHIM_EXPORT Handle shim_from_file(
    const char* path, double offset, double bytes, int32_t dtype, const int32_t* shape, int32_t ndim) {
  return guard([&]() -> Handle {
    mx::Dtype type = dtype_at(dtype);
    mx::Shape s = checked_shape(shape, ndim, type, bytes);
    File file(path);
    auto total = static_cast<size_t>(bytes);
    Block block(total);
    size_t got = 0;
    while (got < total) {
      size_t want = std::min<size_t>(total - got, 1u << 30);
      ssize_t n = ::pread(file.fd, static_cast<char*>(block.data) + got, want, static_cast<off_t>(offset) + static_cast<off_t>(got));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        block.free();
        throw std::runtime_error(std::string(path) + ": " + (n == 0 ? "the file ends too early" : std::strerror(errno)));
      }
      got += static_cast<size_t>(n);
    }
    return hold(adopt(block, std::move(s), type));
  });
}

// Copies a row-major array out that a finished submission has awaited. It is not waited for here: the evaluator may be using
// it at this moment, and the waiting changes an array.
SHIM_EXPORT bool shim_read(Handle h, void* out, double bytes) {
  return guard([&] {
    mx::array a = array_at(h);
    if (a.status() == mx::array::Status::unscheduled) throw std::logic_error("read of an array that is not computed");
    if (!a.flags().row_contiguous) throw std::logic_error("read of an array that is not row-major");
    if (static_cast<double>(a.nbytes()) != bytes) throw std::invalid_argument("read: sizes differ");
    if (a.nbytes() > 0) std::memcpy(out, a.data<char>(), a.nbytes());
    return true;
  });
}

SHIM_EXPORT double shim_active_memory() { return static_cast<double>(total_active()); }
SHIM_EXPORT double shim_peak_memory() { return static_cast<double>(total_peak()); }
SHIM_EXPORT double shim_cache_memory() { return static_cast<double>(mx::get_cache_memory() + block_places().kept() + row_places().kept()); }

SHIM_EXPORT bool shim_set_memory_limit(double bytes) {
  return guard([&] {
    mx::set_memory_limit(static_cast<size_t>(bytes));
    return true;
  });
}

SHIM_EXPORT bool shim_set_cache_limit(double bytes) {
  return guard([&] {
    mx::set_cache_limit(static_cast<size_t>(bytes));
    return true;
  });
}

SHIM_EXPORT bool shim_clear_cache() {
  return guard([] {
    mx::clear_cache();
    block_places().trim();
    row_places().trim(0);
    return true;
  });
}

SHIM_EXPORT bool shim_reserve_places(int32_t rows, double bytes) {
  return guard([&] {
    places(rows).reserve(static_cast<size_t>(bytes));
    return true;
  });
}

// Of the prefix cache's blocks: free memory that has its pages, memory that was touched for the first time by a copy, and how long that took.
SHIM_EXPORT double shim_ready_block_memory() { return static_cast<double>(block_places().kept()); }
SHIM_EXPORT double shim_touched_block_memory() { return static_cast<double>(block_places().touched().bytes); }
SHIM_EXPORT double shim_touching_seconds() { return block_places().touched().seconds; }

// 0: an error, 1: nothing to do, 2: done.
SHIM_EXPORT int shim_prepare_block(double bytes, double reserve) {
  return guard([&] { return block_places().prepare(static_cast<size_t>(bytes), static_cast<size_t>(reserve)) ? 2 : 1; });
}

// Memory of the device in bytes, 0 where MLX does not know it (the CPU).
SHIM_EXPORT double shim_device_memory() {
  return guard([]() -> double {
    const auto& info = mx::device_info();
    for (const char* key : {"max_recommended_working_set_size", "total_memory", "memory_size"}) {
      auto it = info.find(key);
      if (it != info.end() && std::holds_alternative<size_t>(it->second)) return static_cast<double>(std::get<size_t>(it->second));
    }
    return 0;
  });
}

}  // extern "C"

}  // namespace shim
