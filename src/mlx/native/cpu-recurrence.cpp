// The scans of recurrent layers over a ragged step, updating the states of all size classes in place.
#include <algorithm>

#include "cpu-kernels.h"
#include "cpu-primitives.h"
#include "cpu-threads.h"

namespace shim {

namespace {

struct Stretch {
  int64_t group, row, start, count, offset;
};

// Heads or channels [first, last) of a stretch.
struct ScanItem {
  const Stretch* stretch;
  int64_t first, last;
};

// Checks the plan against the states [R, ...], all of one shape but for R.
std::vector<Stretch> read_plan(const std::vector<int>& plan, const std::vector<mx::array>& states, int ndim, int64_t tokens) {
  require(!states.empty() && plan.size() % 5 == 0, "scan: states or plan");
  for (const mx::array& state : states) {
    require(state.ndim() == static_cast<size_t>(ndim) && state.dtype() == mx::float32, "scan: a state has another type or rank");
    for (int axis = 1; axis < ndim; axis++) require(state.shape(axis) == states[0].shape(axis) && state.shape(axis) > 0, "scan: the states differ");
  }
  std::vector<Stretch> stretches;
  for (size_t i = 0; i < plan.size(); i += 5) {
    Stretch t{plan[i], plan[i + 1], plan[i + 2], plan[i + 3], plan[i + 4]};
    require(t.group >= 0 && static_cast<size_t>(t.group) < states.size(), "scan: no such class");
    require(t.row >= 0 && t.row < states[t.group].shape(0) && t.start >= 0 && t.count > 0, "scan: outside of the states");
    require(t.offset >= 0 && t.offset + t.count <= tokens, "scan: outside of the batch");
    stretches.push_back(t);
  }
  return stretches;
}

// Every stretch in parts of `step(stretch)` heads or channels.
template <typename F>
std::vector<ScanItem> split(const std::vector<Stretch>& stretches, int64_t n, F&& step) {
  std::vector<ScanItem> items;
  for (const Stretch& t : stretches) {
    int64_t width = std::max<int64_t>(1, step(t));
    for (int64_t first = 0; first < n; first += width) items.push_back({&t, first, std::min(n, first + width)});
  }
  return items;
}

// So many heads that an item is worth handing over; `work`: numbers of a head's state.
std::vector<ScanItem> split_heads(const std::vector<Stretch>& stretches, int64_t heads, int64_t work) {
  return split(stretches, heads, [=](const Stretch& t) { return 32768 / (work * t.count); });
}

float* scratch_of(int64_t dim) {
  thread_local std::vector<float> scratch;
  size_t need = static_cast<size_t>(scan_scratch(dim));
  if (scratch.size() < need) scratch.resize(need);
  return scratch.data();
}

}  // namespace

mx::array cpu_convolve(
    const mx::array& x, const mx::array& weight, const std::optional<mx::array>& bias, const std::vector<mx::array>& states,
    const std::vector<int>& plan, bool silu, mx::Stream s) {
  require(x.ndim() == 2 && weight.ndim() == 2 && weight.shape(1) == x.shape(1), "convolve: x [T, C], weight [K, C]");
  require(!bias || (bias->ndim() == 1 && bias->shape(0) == x.shape(1)), "convolve: bias [C]");
  const int64_t channels = x.shape(1);
  const int taps = weight.shape(0);
  require(taps >= 2 && taps <= kMaxTaps, "convolve: 2 to 16 taps");
  std::vector<Stretch> stretches = read_plan(plan, states, 3, x.shape(0));
  require(states[0].shape(1) == taps - 1 && states[0].shape(2) == channels, "convolve: states [R, K - 1, C]");
  std::vector<mx::array> inputs{cpu_float32(x), cpu_float32(weight)};
  if (bias) inputs.push_back(cpu_float32(*bias));
  const size_t states_at = inputs.size();
  inputs.insert(inputs.end(), states.begin(), states.end());
  auto run = [=](const std::vector<const void*>& in, void* out) {
    // Channels of an item: the taps' weights and inputs stay in the first-level cache.
    auto width = [=](const Stretch& t) { return t.count < 8 ? std::max<int64_t>(512, 8192 / t.count) : 512; };
    std::vector<ScanItem> items = split(stretches, channels, width);
    parallel_for(static_cast<int64_t>(items.size()), [&](int64_t i) {
      const auto& [t, first, last] = items[i];
      ConvolveTask task;
      task.x = floats(in[0]) + t->offset * channels + first;
      task.weight = floats(in[1]) + first;
      task.bias = states_at > 2 ? floats(in[2]) + first : nullptr;
      task.state = const_cast<float*>(floats(in[states_at + t->group])) + t->row * (taps - 1) * channels + first;
      task.y = static_cast<float*>(out) + t->offset * channels + first;
      task.stride = channels;
      task.tokens = t->count;
      task.channels = last - first;
      task.taps = taps;
      task.fresh = t->start == 0;
      task.silu = silu;
      kernels().convolve(task);
    });
  };
  return cpu_make(x.shape(), mx::float32, "Convolve", std::move(inputs), s, std::move(run), states_at);
}

mx::array cpu_gated_delta(
    const mx::array& x, const mx::array& a, const mx::array& b, const mx::array& decay, const mx::array& bias,
    const std::vector<mx::array>& states, const std::vector<int>& plan, int key_heads, mx::Stream s) {
  require(x.ndim() == 2 && key_heads > 0, "gated_delta: x [T, 2 Hk Dk + Hv Dv]");
  const int64_t tokens = x.shape(0), width = x.shape(1);
  std::vector<Stretch> stretches = read_plan(plan, states, 4, tokens);
  const int64_t heads = states[0].shape(1), value_dim = states[0].shape(2), key_dim = states[0].shape(3);
  require(heads % key_heads == 0 && width == 2 * key_heads * key_dim + heads * value_dim, "gated_delta: states [R, Hv, Dv, Dk]");
  mx::Shape gates{static_cast<int>(tokens), static_cast<int>(heads)}, constants{static_cast<int>(heads)};
  require(a.shape() == gates && b.shape() == gates && decay.shape() == constants && bias.shape() == constants, "gated_delta: gates [T, Hv], constants [Hv]");
  std::vector<mx::array> inputs{cpu_float32(x), cpu_float32(a), cpu_float32(b), cpu_float32(decay), cpu_float32(bias)};
  inputs.insert(inputs.end(), states.begin(), states.end());
  mx::Shape shape{static_cast<int>(tokens), static_cast<int>(heads), static_cast<int>(value_dim)};
  auto run = [=](const std::vector<const void*>& in, void* out) {
    const int64_t keys = key_heads * key_dim, state_size = value_dim * key_dim;
    std::vector<ScanItem> items = split_heads(stretches, heads, state_size);
    parallel_for(static_cast<int64_t>(items.size()), [&](int64_t i) {
      const auto& [t, first, last] = items[i];
      const float* from = floats(in[0]) + t->offset * width;
      for (int64_t h = first; h < last; h++) {
        int64_t key_head = h / (heads / key_heads), gate = t->offset * heads + h;
        DeltaTask task;
        task.q = from + key_head * key_dim;
        task.k = from + keys + key_head * key_dim;
        task.v = from + 2 * keys + h * value_dim;
        task.stride = width;
        task.a = floats(in[1]) + gate;
        task.b = floats(in[2]) + gate;
        task.gate_stride = heads;
        task.decay = floats(in[3])[h];
        task.bias = floats(in[4])[h];
        task.state = const_cast<float*>(floats(in[5 + t->group])) + (t->row * heads + h) * state_size;
        task.y = static_cast<float*>(out) + (t->offset * heads + h) * value_dim;
        task.y_stride = heads * value_dim;
        task.tokens = t->count;
        task.key_dim = static_cast<int>(key_dim);
        task.value_dim = static_cast<int>(value_dim);
        task.fresh = t->start == 0;
        kernels().gated_delta(task, scratch_of(key_dim));
      }
    });
  };
  return cpu_make(std::move(shape), mx::float32, "GatedDelta", std::move(inputs), s, std::move(run), 5);
}

mx::array cpu_state_space(
    const mx::array& x, const mx::array& dt, const mx::array& bias, const mx::array& decay, const mx::array& skip,
    const std::vector<mx::array>& states, const std::vector<int>& plan, float low, float high, mx::Stream s) {
  require(x.ndim() == 2, "state_space: x [T, H P + 2 G N]");
  const int64_t tokens = x.shape(0), width = x.shape(1);
  std::vector<Stretch> stretches = read_plan(plan, states, 4, tokens);
  const int64_t heads = states[0].shape(1), dim = states[0].shape(2), size = states[0].shape(3);
  const int64_t inner = heads * dim, groups = (width - inner) / (2 * size);
  require(groups > 0 && width == inner + 2 * groups * size && heads % groups == 0, "state_space: states [R, H, P, N]");
  mx::Shape constants{static_cast<int>(heads)};
  require(dt.shape() == mx::Shape({static_cast<int>(tokens), static_cast<int>(heads)}), "state_space: dt [T, H]");
  require(bias.shape() == constants && decay.shape() == constants && skip.shape() == constants, "state_space: constants [H]");
  require(low <= high, "state_space: the limits of the step");
  std::vector<mx::array> inputs{cpu_float32(x), cpu_float32(dt), cpu_float32(bias), cpu_float32(decay), cpu_float32(skip)};
  inputs.insert(inputs.end(), states.begin(), states.end());
  mx::Shape shape{static_cast<int>(tokens), static_cast<int>(inner)};
  auto run = [=](const std::vector<const void*>& in, void* out) {
    std::vector<ScanItem> items = split_heads(stretches, heads, dim * size);
    parallel_for(static_cast<int64_t>(items.size()), [&](int64_t i) {
      const auto& [t, first, last] = items[i];
      const float* from = floats(in[0]) + t->offset * width;
      for (int64_t h = first; h < last; h++) {
        int64_t group = h / (heads / groups);
        StateSpaceTask task;
        task.x = from + h * dim;
        task.b = from + inner + group * size;
        task.c = from + inner + (groups + group) * size;
        task.stride = width;
        task.dt = floats(in[1]) + t->offset * heads + h;
        task.dt_stride = heads;
        task.bias = floats(in[2])[h];
        task.decay = floats(in[3])[h];
        task.skip = floats(in[4])[h];
        task.low = low;
        task.high = high;
        task.state = const_cast<float*>(floats(in[5 + t->group])) + (t->row * heads + h) * dim * size;
        task.y = static_cast<float*>(out) + t->offset * inner + h * dim;
        task.y_stride = inner;
        task.tokens = t->count;
        task.dim = static_cast<int>(dim);
        task.states = static_cast<int>(size);
        task.fresh = t->start == 0;
        kernels().state_space(task, scratch_of(size));
      }
    });
  };
  return cpu_make(std::move(shape), mx::float32, "StateSpace", std::move(inputs), s, std::move(run), 5);
}

}  // namespace shim
