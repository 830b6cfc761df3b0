// Quantized matrices in panels: affine levels of 2 to 8 bits, and 4-bit floating-point numbers with 8-bit scales.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cpu-kernels.h"
#include "cpu-primitives.h"
#include "cpu-threads.h"

namespace shim {

namespace {

int64_t panels_of(const mx::array& packed, const QuantizedLayout& q) {
  require(packed.dtype() == mx::uint8 && packed.ndim() == 2 && packed.shape(1) == q.panel_bytes(), "quantized: the weight is not packed so");
  return packed.shape(0);
}

// Twice the numbers of four bits: a sign, two bits of exponent, one of mantissa.
constexpr float kE2m1[] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 2^(bits - 127)
float from_e8m0(uint8_t bits) { return std::ldexp(1.0f, bits - 127); }

// A sign, four bits of exponent, three of mantissa.
float from_e4m3(uint8_t bits) {
  int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if ((bits & 127) == 127) return std::numeric_limits<float>::quiet_NaN();
  float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9) : std::ldexp(1.0f + static_cast<float>(mantissa) / 8, exponent - 7);
  return bits & 128 ? -value : value;
}

// Packs [.., n, k] levels of `bits` bits; head(at, column, number of the group) writes what stands before a group's levels.
template <typename F>
mx::array pack(const mx::array& weight, std::vector<mx::array> scales, const QuantizedLayout& q, int bits, const char* name, mx::Stream s, F head) {
  require(weight.ndim() == 2 || weight.ndim() == 3, "quantized: a matrix is needed, or one for each expert");
  require(weight.dtype() == mx::uint32 && int64_t{weight.shape(-1)} * 32 == q.k * bits, "quantized: the weight has another shape");
  mx::Shape wanted = weight.shape();
  wanted.back() = static_cast<int>(q.k / q.group);
  for (const mx::array& part : scales) require(part.shape() == wanted, "quantized: scales or biases have another shape");
  require(q.panel_bytes() < (int64_t{1} << 31), "quantized: too wide");
  int64_t n = weight.shape(-2), each = (n + kPanel - 1) / kPanel, panels = weight.ndim() == 3 ? weight.shape(0) * each : each;
  std::vector<mx::array> inputs{mx::contiguous(weight, false, s)};
  for (const mx::array& part : scales) inputs.push_back(mx::contiguous(part, false, s));
  mx::Shape shape{static_cast<int>(panels), static_cast<int>(q.panel_bytes())};
  return cpu_make(shape, mx::uint8, name, std::move(inputs), s, [=](const std::vector<const void*>& in, void* out) {
    int64_t groups = q.k / q.group, row_bytes = q.k * bits / 8;
    parallel_for(panels, [&](int64_t p) {
      uint8_t* panel = static_cast<uint8_t*>(out) + p * q.panel_bytes();
      std::memset(panel, 0, q.panel_bytes());
      int64_t columns = std::min<int64_t>(kPanel, n - p % each * kPanel);
      for (int64_t column = 0; column < columns; column++) {
        int64_t row = p / each * n + p % each * kPanel + column;
        const auto* bytes = static_cast<const uint8_t*>(in[0]) + row * row_bytes;
        for (int64_t g = 0; g < groups; g++) {
          uint8_t* at = panel + g * q.group_bytes();
          head(in, reinterpret_cast<float*>(at), column, row * groups + g);
          uint8_t* levels = at + q.head_bytes();
          for (int64_t i = 0; i < q.group; i++, levels += q.input_bytes()) {
            // Levels follow each other as a stream of bits, the lowest first.
            int64_t bit = (g * q.group + i) * bits;
            unsigned both = bytes[bit / 8];
            if (bit / 8 + 1 < row_bytes) both |= static_cast<unsigned>(bytes[bit / 8 + 1]) << 8;
            auto level = static_cast<uint8_t>(both >> bit % 8 & ((1u << bits) - 1));
            if (q.bits == 4)
              levels[column % (kPanel / 2)] |= static_cast<uint8_t>(column < kPanel / 2 ? level : level << 4);
            else
              levels[column] = level;
          }
        }
      }
    });
  });
}

QuantizedLayout layout(int64_t k, int group, int bits, bool e2m1) {
  require(k > 0 && group > 0 && k % group == 0 && bits >= 2 && bits <= 8, "quantized: group and bits do not fit");
  // Levels of 5 to 7 bits are stored in 8, and no larger for it.
  return {k, group, bits <= 4 ? 4 : 8, e2m1, bits <= 4 ? 0 : 1 << (bits - 1)};
}

}  // namespace

QuantizedLayout quantized_layout(const mx::array& packed, int64_t k, int group, int bits) {
  require(packed.ndim() == 2, "quantized: the weight is not packed");
  QuantizedLayout q = layout(k, group, bits, bits == 4);
  return packed.shape(1) == q.panel_bytes() ? q : layout(k, group, bits, false);
}

mx::array cpu_quantized_pack(
    const mx::array& weight, const mx::array& scales, const mx::array& biases, int k, int group, int bits, mx::Stream s) {
  std::vector<mx::array> parts{mx::astype(scales, mx::float32, s), mx::astype(biases, mx::float32, s)};
  return pack(weight, std::move(parts), layout(k, group, bits, false), bits, "QuantizedPack", s,
      [](const std::vector<const void*>& in, float* at, int64_t column, int64_t group_number) {
        at[column] = floats(in[1])[group_number];
        at[kPanel + column] = floats(in[2])[group_number];
      });
}

mx::array cpu_float_pack(const mx::array& weight, const mx::array& scales, int k, int group, mx::Stream s) {
  require(scales.dtype() == mx::uint8 && (group == 16 || group == 32), "quantized: scales of 8 bits for groups of 16 or 32 are needed");
  return pack(weight, {scales}, layout(k, group, 4, true), 4, "FloatPack", s,
      [=](const std::vector<const void*>& in, float* at, int64_t column, int64_t group_number) {
        uint8_t scale = static_cast<const uint8_t*>(in[1])[group_number];
        at[column] = 0.5f * (group == 32 ? from_e8m0(scale) : from_e4m3(scale));
      });
}

mx::array cpu_quantized_rows(const mx::array& packed, const mx::array& ids, int k, int group, int bits, mx::Stream s) {
  QuantizedLayout q = quantized_layout(packed, k, group, bits);
  require(ids.ndim() == 1 && ids.dtype() == mx::int32, "rows: ids must be int32");
  int64_t count = ids.shape(0), limit = panels_of(packed, q) * kPanel;
  mx::Shape shape{static_cast<int>(count), k};
  return cpu_make(shape, mx::float32, "QuantizedRows", {packed, ids}, s, [=](const std::vector<const void*>& in, void* out) {
    auto* to = static_cast<float*>(out);
    for (int64_t r = 0; r < count; r++) {
      int64_t id = std::clamp<int64_t>(static_cast<const int32_t*>(in[1])[r], 0, limit - 1);
      const uint8_t* panel = static_cast<const uint8_t*>(in[0]) + id / kPanel * q.panel_bytes();
      int64_t column = id % kPanel;
      for (int64_t i = 0; i < q.k; i++) {
        const uint8_t* at = panel + i / q.group * q.group_bytes();
        const auto* scales = reinterpret_cast<const float*>(at);
        const uint8_t* levels = at + q.head_bytes() + i % q.group * q.input_bytes();
        int level = q.bits == 8 ? levels[column] : column < kPanel / 2 ? levels[column] & 15 : levels[column - kPanel / 2] >> 4;
        *to++ = q.e2m1 ? kE2m1[level] * scales[column] : static_cast<float>(level) * scales[column] + scales[kPanel + column];
      }
    }
  });
}

}  // namespace shim
