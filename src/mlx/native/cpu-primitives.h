// Operations of our own for MLX's CPU backend, whose norms, rotations and attention are chains of small ones.
#pragma once

#include <functional>

#include "shim.h"

namespace shim {

// Computes an output from the inputs' and its own address, on the stream's thread.
using CpuRun = std::function<void(const std::vector<const void*>& inputs, void* output)>;
// An array computed so; the inputs must be row-major when it runs.
mx::array cpu_make(mx::Shape shape, mx::Dtype dtype, const char* name, std::vector<mx::array> inputs, mx::Stream s, CpuRun run);
// Row-major float32, without work where it already is.
mx::array cpu_plain(const mx::array& x, mx::Stream s);

// Weight [n, k] in panels of kPanel columns, [panels, k, kPanel]; bfloat16 stays as it is, everything else becomes float32.
mx::array cpu_pack(const mx::array& weight, mx::Stream s);
// float32 with any content: memory that is not written to is not touched, so a large cache costs nothing until it is used.
mx::array cpu_empty(const mx::Shape& shape, mx::Stream s);
// x [..., k] times a packed weight of n columns, plus bias [n].
mx::array cpu_linear(const mx::array& x, const mx::array& packed, const std::optional<mx::array>& bias, int n, mx::Stream s);
// Rows ids of a packed weight of [n, k], float32 [ids, k].
mx::array cpu_rows(const mx::array& packed, const mx::array& ids, mx::Stream s);
// An affine-quantized matrix [n, k] of 2 to 8 bits in panels; levels of up to 4 bits are stored in 4, others in 8.
mx::array cpu_quantized_pack(
    const mx::array& weight, const mx::array& scales, const mx::array& biases, int k, int group, int bits, mx::Stream s);
mx::array cpu_quantized_linear(
    const mx::array& x, const mx::array& packed, const std::optional<mx::array>& bias, int n, int group, int bits, mx::Stream s);
mx::array cpu_quantized_rows(const mx::array& packed, const mx::array& ids, int k, int group, int bits, mx::Stream s);
mx::array cpu_rms_norm(const mx::array& x, const std::optional<mx::array>& weight, float eps, mx::Stream s);
mx::array cpu_layer_norm(
    const mx::array& x, const std::optional<mx::array>& weight, const std::optional<mx::array>& bias, float eps, mx::Stream s);
mx::array cpu_swiglu(const mx::array& gate, const mx::array& up, mx::Stream s);
mx::array cpu_geglu(const mx::array& gate, const mx::array& up, mx::Stream s);
// cos and sin of positions [T] over freqs [half], as float32 [T, 2, half].
mx::array cpu_rope_table(const mx::array& positions, const mx::array& freqs, float scale, mx::Stream s);
// x [T, H, D], the first 2 * half of each head rotated.
mx::array cpu_rope(const mx::array& x, const mx::array& table, bool pairs, mx::Stream s);
// uint32 index of the first maximum of each row.
mx::array cpu_argmax(const mx::array& x, mx::Stream s);
// uint32 [n]: one index drawn from each row of scores [n, m]; params [n, 5]: temperature, top_p, top_k (0: all), min_p and a uniform
// number. Filters look at the untempered probabilities, as mlx-lm's do.
mx::array cpu_sample(const mx::array& scores, const mx::array& params, mx::Stream s);
// Writes k [T, Hkv, D] and v [T, Hkv, Dv] (without them nothing is written) to the caches and attends. `caches`: the k tensor
// [R, Hkv, slots, D] and the v tensor [R, Hkv, slots, Dv] of each class in turn, or, without v, the k tensors alone: then the
// values are the first Dv numbers of the keys. `plan`: int32 rows of [class, row, start, count, offset], one for each stretch of a
// sequence. Position p lies in slot p % slots. Options as in AttentionTask.
struct AttendOptions {
  int value_dim, window, chunk;
  float scale, softcap;
};
mx::array cpu_attend(
    const mx::array& q, const std::optional<mx::array>& k, const std::optional<mx::array>& v, const std::optional<mx::array>& sinks,
    const std::vector<mx::array>& caches, const std::vector<int>& plan, const AttendOptions& options, mx::Stream s);

}  // namespace shim
