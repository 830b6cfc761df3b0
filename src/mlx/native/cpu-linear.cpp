// Products with packed matrices: one, several with the same input, and the gated half of a feed-forward part.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "cpu-kernels.h"
#include "cpu-primitives.h"
#include "cpu-threads.h"

namespace shim {

namespace {

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

const float* floats(const void* p) { return static_cast<const float*>(p); }

// How a packed matrix [n, k] lies in memory.
struct PackedMatrix {
  int64_t k, n, panels;
  bool quantized;
  WeightKind kind;    // of a dense one
  QuantizedLayout q;  // of a quantized one

  PackedMatrix(const mx::array& packed, int64_t inputs, int64_t columns, int group, int bits)
      : k(inputs), n(columns), panels((n + kPanel - 1) / kPanel), quantized(bits > 0), kind(WeightKind::f32), q{} {
    require(n > 0, "linear: no columns");
    if (quantized) {
      q = quantized_layout(packed, k, group, bits);
      require(packed.dtype() == mx::uint8 && packed.shape(0) == panels && packed.shape(1) == q.panel_bytes(), "linear: shapes differ");
    } else {
      require(packed.ndim() == 3 && packed.shape(2) == kPanel, "linear: the weight is not packed");
      require(packed.shape(1) == k && packed.shape(0) == panels, "linear: shapes differ");
      if (packed.dtype() == mx::bfloat16) kind = WeightKind::bf16;
    }
  }

  const void* panel(const void* packed, int64_t p) const {
    int64_t bytes = quantized ? q.panel_bytes() : k * kPanel * (kind == WeightKind::bf16 ? 2 : 4);
    return static_cast<const uint8_t*>(packed) + p * bytes;
  }

  // y [rows][width] = x [rows][k] times the panels [first, last) of so many columns.
  void multiply(const float* x, int64_t rows, const void* packed, const float* bias, float* y, int64_t width, int64_t first, int64_t last) const {
    if (quantized)
      kernels().quantized(x, rows, q, static_cast<const uint8_t*>(packed), bias, y, width, first, last);
    else
      kernels().linear(x, rows, k, packed, kind, bias, y, width, first, last);
  }
};

int64_t rows_of(const mx::array& x) {
  require(x.ndim() >= 1 && x.shape(-1) > 0, "linear: no axis");
  return static_cast<int64_t>(x.size()) / x.shape(-1);
}

// So many panels a work item that it takes long enough to be worth handing over, and there are several for each thread.
int64_t panels_per_item(int64_t panels, int64_t rows, int64_t k) {
  int64_t least = std::max<int64_t>(1, 300000 / std::max<int64_t>(1, rows * k * kPanel));
  int64_t even = std::max<int64_t>(1, panels / (2 * compute_threads()));
  return std::max(least, even);
}

// One product, which may be added to something. Known by the address of its name.
class Linear : public CpuPrimitive {
 public:
  static constexpr char kName[] = "Linear";
  Linear(mx::Stream s, CpuRunMany run, const PackedMatrix& matrix, int64_t rows, bool biased, bool added)
      : CpuPrimitive(s, kName, std::move(run), kNoneWritten, mx::allocator::malloc), matrix(matrix), rows(rows), biased(biased), added(added) {}

  const PackedMatrix matrix;
  const int64_t rows;
  const bool biased, added;
};

// inputs: x, the packed matrix, the bias if there is one, and what the product is added to, if anything.
mx::array make_linear(const mx::Shape& shape, const PackedMatrix& matrix, int64_t rows, std::vector<mx::array> inputs, bool biased, bool added, mx::Stream s) {
  if (s.device != mx::Device::cpu) throw std::invalid_argument("Linear is for the CPU only");
  int64_t step = panels_per_item(matrix.panels, rows, matrix.k);
  auto run = [=](const std::vector<const void*>& in, const std::vector<void*>& out) {
    auto* y = static_cast<float*>(out[0]);
    parallel_for((matrix.panels + step - 1) / step, [&](int64_t i) {
      int64_t first = i * step, last = std::min(matrix.panels, first + step), n = matrix.n;
      matrix.multiply(floats(in[0]), rows, in[1], biased ? floats(in[2]) : nullptr, y, n, first, last);
      if (!added) return;
      const float* plus = floats(in.back());
      int64_t end = std::min(n, last * kPanel);
      for (int64_t r = 0; r < rows; r++)
        for (int64_t c = first * kPanel; c < end; c++) y[r * n + c] += plus[r * n + c];
    });
  };
  return mx::array(shape, mx::float32, std::make_shared<Linear>(s, std::move(run), matrix, rows, biased, added), std::move(inputs));
}

}  // namespace

std::vector<mx::array> cpu_linears(
    const mx::array& x, const std::vector<mx::array>& packed, const std::vector<mx::array>& biases, const std::vector<int>& n, int group, int bits,
    mx::Stream s) {
  require(!packed.empty() && n.size() == packed.size() && (biases.empty() || biases.size() == n.size()), "linear: so many matrices, sizes and biases");
  int64_t rows = rows_of(x), k = x.shape(-1), total = 0;
  std::vector<PackedMatrix> matrices;
  std::vector<mx::Shape> shapes;
  for (size_t i = 0; i < n.size(); i++) {
    matrices.emplace_back(packed[i], k, n[i], group, bits);
    require(biases.empty() || (biases[i].ndim() == 1 && biases[i].shape(0) == n[i]), "linear: the bias has another length");
    shapes.push_back(x.shape());
    shapes.back().back() = n[i];
    total += matrices.back().panels;
  }
  struct Item {
    size_t matrix;
    int64_t first, last;
  };
  std::vector<Item> items;
  int64_t step = panels_per_item(total, rows, k);
  for (size_t i = 0; i < matrices.size(); i++)
    for (int64_t p = 0; p < matrices[i].panels; p += step) items.push_back({i, p, std::min(matrices[i].panels, p + step)});
  std::vector<mx::array> inputs{cpu_plain(x)};
  inputs.insert(inputs.end(), packed.begin(), packed.end());
  for (const mx::array& bias : biases) inputs.push_back(cpu_plain(bias));
  return cpu_make_many(std::move(shapes), mx::float32, "Linears", std::move(inputs), s, [=](const std::vector<const void*>& in, const std::vector<void*>& out) {
    parallel_for(static_cast<int64_t>(items.size()), [&](int64_t i) {
      auto [m, first, last] = items[i];
      const float* bias = in.size() > 1 + matrices.size() ? floats(in[1 + matrices.size() + m]) : nullptr;
      matrices[m].multiply(floats(in[0]), rows, in[1 + m], bias, static_cast<float*>(out[m]), matrices[m].n, first, last);
    });
  });
}

mx::array cpu_linear(
    const mx::array& x, const mx::array& packed, const std::optional<mx::array>& bias, int n, int group, int bits, mx::Stream s) {
  PackedMatrix matrix(packed, x.ndim() > 0 ? x.shape(-1) : 0, n, group, bits);
  require(!bias || (bias->ndim() == 1 && bias->shape(0) == n), "linear: the bias has another length");
  std::vector<mx::array> inputs{cpu_plain(x), packed};
  if (bias) inputs.push_back(cpu_plain(*bias));
  mx::Shape shape = x.shape();
  int64_t rows = rows_of(x);
  shape.back() = n;
  return make_linear(shape, matrix, rows, std::move(inputs), bias.has_value(), false, s);
}

mx::array cpu_add_to(const mx::array& x, const mx::array& change, mx::Stream s) {
  bool product = change.has_primitive() && change.primitive().name() == Linear::kName;
  const Linear* linear = product ? static_cast<const Linear*>(&change.primitive()) : nullptr;
  if (linear == nullptr || linear->added || x.shape() != change.shape() || x.dtype() != mx::float32) return mx::add(x, change, s);
  std::vector<mx::array> inputs = change.inputs();
  inputs.push_back(x);
  return make_linear(change.shape(), linear->matrix, linear->rows, std::move(inputs), linear->biased, true, s);
}

mx::array cpu_gated_linear(
    const mx::array& x, const mx::array& gate, const mx::array& up, int n, int group, int bits, bool gelu, mx::Stream s) {
  int64_t rows = rows_of(x), k = x.shape(-1);
  PackedMatrix gates(gate, k, n, group, bits), ups(up, k, n, group, bits);
  mx::Shape shape = x.shape();
  shape.back() = n;
  return cpu_make(shape, mx::float32, "GatedLinear", {cpu_plain(x), gate, up}, s, [=](const std::vector<const void*>& in, void* out) {
    auto activate = gelu ? kernels().geglu : kernels().swiglu;
    int64_t chunk = std::min(rows, kernels().chunk_rows(k));
    int64_t step = panels_per_item(gates.panels, rows, 2 * k);
    parallel_for((gates.panels + step - 1) / step, [&](int64_t item) {
      // A panel's gates and what they gate, [chunk][kPanel] each, stay in a near cache.
      thread_local std::vector<float> scratch;
      size_t need = static_cast<size_t>(2 * chunk * kPanel);
      if (scratch.size() < need) scratch.resize(need);
      float *a = scratch.data(), *b = a + chunk * kPanel;
      for (int64_t m = 0; m < rows; m += chunk) {
        int64_t count = std::min(chunk, rows - m);
        for (int64_t p = item * step; p < std::min(gates.panels, (item + 1) * step); p++) {
          gates.multiply(floats(in[0]) + m * k, count, gates.panel(in[1], p), nullptr, a, kPanel, 0, 1);
          ups.multiply(floats(in[0]) + m * k, count, ups.panel(in[2], p), nullptr, b, kPanel, 0, 1);
          int64_t columns = std::min<int64_t>(kPanel, n - p * kPanel);
          float* y = static_cast<float*>(out) + m * n + p * kPanel;
          activate(a, b, a, count * kPanel);
          for (int64_t i = 0; i < count; i++) std::memcpy(y + i * n, a + i * kPanel, columns * sizeof(float));
        }
      }
    });
  });
}

}  // namespace shim
