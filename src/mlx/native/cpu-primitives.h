// Operations of our own for MLX's CPU backend, whose norms, rotations and attention are chains of small ones.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>

#include "mlx/primitives.h"
#include "shim.h"

namespace shim {

// What a graph is built from is checked before anything runs.
inline void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

inline const float* floats(const void* p) { return static_cast<const float*>(p); }

// Computes an output from the inputs' and its own address, on the stream's thread.
using CpuRun = std::function<void(const std::vector<const void*>& inputs, void* output)>;
// The same with several outputs.
using CpuRunMany = std::function<void(const std::vector<const void*>& inputs, const std::vector<void*>& outputs)>;
// Where an output lies.
using CpuMemory = std::function<mx::allocator::Data(size_t bytes)>;

// Outputs computed by a function of the inputs' and outputs' addresses, which runs on the stream's thread.
class CpuPrimitive : public mx::Primitive {
 public:
  CpuPrimitive(mx::Stream s, const char* name, CpuRunMany run, size_t written, CpuMemory memory)
      : Primitive(s), name_(name), run_(std::move(run)), written_(written), memory_(std::move(memory)) {}

  void eval_cpu(const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override;
  void eval_gpu(const std::vector<mx::array>&, std::vector<mx::array>&) override;
  const char* name() const override { return name_; }

 private:
  const char* name_;
  CpuRunMany run_;
  size_t written_;
  CpuMemory memory_;
};

// An array computed so. It gets the inputs row-major: of others copies are made when it runs. Those from `written` on are written to, and must be.
constexpr size_t kNoneWritten = SIZE_MAX;
mx::array cpu_make(
    mx::Shape shape, mx::Dtype dtype, const char* name, std::vector<mx::array> inputs, mx::Stream s, CpuRun run, size_t written = kNoneWritten,
    CpuMemory memory = mx::allocator::malloc);
std::vector<mx::array> cpu_make_many(
    std::vector<mx::Shape> shapes, mx::Dtype dtype, const char* name, std::vector<mx::array> inputs, mx::Stream s, CpuRunMany run,
    size_t written = kNoneWritten, CpuMemory memory = mx::allocator::malloc);
// x, which must be float32.
const mx::array& cpu_float32(const mx::array& x);

// Weight [n, k] in panels of kPanel columns, [panels, k, kPanel]; bfloat16 stays as it is, everything else becomes float32. The
// matrices of [experts, n, k] are packed one after the other.
mx::array cpu_pack(const mx::array& weight, mx::Stream s);
// Cache rows, float32 [rows, ...] with any content: memory that is not written to is not touched. It can grow to `room` rows where it is.
mx::array cpu_empty_rows(const mx::Shape& shape, int room, mx::Stream s);
// `a`, which must not be used by anything later, with more rows behind its own: in its buffer where that has room, else in a new one.
mx::array cpu_more_rows(const mx::array& a, int rows, int room, mx::Stream s);
// Copies the first slots[i] slots of a row of from[i] [R, H, slots, D] to a row of to[i], in place; a negative number: the whole row of [R, ...].
// Returns [1], with which it is done.
mx::array cpu_copy_row(
    const std::vector<mx::array>& from, const std::vector<mx::array>& to, int from_row, int to_row, const std::vector<int>& slots, mx::Stream s);
// Packed matrices (cpu-linear.cpp) are dense where `bits` is 0, else quantized: see cpu_quantized_pack.
// x [..., k] times a packed matrix of n columns, plus bias [n].
mx::array cpu_linear(
    const mx::array& x, const mx::array& packed, const std::optional<mx::array>& bias, int n, int group, int bits, mx::Stream s);
// x + change. Where change is a product that nobody has begun to compute, the sum is made with it: change is not computed by itself.
mx::array cpu_add_to(const mx::array& x, const mx::array& change, mx::Stream s);
// x times several matrices of one kind, each with so many columns; biases for all or for none.
std::vector<mx::array> cpu_linears(
    const mx::array& x, const std::vector<mx::array>& packed, const std::vector<mx::array>& biases, const std::vector<int>& n, int group, int bits,
    mx::Stream s);
// act(x gate) * (x up) for two matrices of n columns; act is gelu's tanh approximation, or silu.
mx::array cpu_gated_linear(
    const mx::array& x, const mx::array& gate, const mx::array& up, int n, int group, int bits, bool gelu, mx::Stream s);
// Rows ids of a packed weight of [n, k], float32 [ids, k].
mx::array cpu_rows(const mx::array& packed, const mx::array& ids, mx::Stream s);
// An affine-quantized matrix [n, k] of 2 to 8 bits in panels; levels of up to 4 bits are stored in 4, others in 8. Several
// matrices as for cpu_pack.
mx::array cpu_quantized_pack(
    const mx::array& weight, const mx::array& scales, const mx::array& biases, int k, int group, int bits, mx::Stream s);
// 4-bit floating-point numbers [n, k / 8 words] with 8-bit scales [n, k / group], likewise: mxfp4 with groups of 32, nvfp4 with 16.
mx::array cpu_float_pack(const mx::array& weight, const mx::array& scales, int k, int group, mx::Stream s);
// The layout of a packed quantized matrix: whether its levels are floating-point numbers shows in its width.
struct QuantizedLayout quantized_layout(const mx::array& packed, int64_t k, int group, int bits);
mx::array cpu_quantized_rows(const mx::array& packed, const mx::array& ids, int k, int group, int bits, mx::Stream s);
mx::array cpu_rms_norm(const mx::array& x, const std::optional<mx::array>& weight, float eps, mx::Stream s);
mx::array cpu_layer_norm(
    const mx::array& x, const std::optional<mx::array>& weight, const std::optional<mx::array>& bias, float eps, mx::Stream s);
mx::array cpu_swiglu(const mx::array& gate, const mx::array& up, mx::Stream s);
mx::array cpu_geglu(const mx::array& gate, const mx::array& up, mx::Stream s);
mx::array cpu_clipped_swiglu(const mx::array& gate, const mx::array& up, mx::Stream s);
// x (1 + erf(x / sqrt(2))) / 2
mx::array cpu_gelu(const mx::array& x, mx::Stream s);
// Attention without a cache: q [T, H, D], k and v [T, Hkv, D] hold texts of `lengths` one after the other, and a token sees its own
// text, all of it or up to itself.
mx::array cpu_attend_texts(
    const mx::array& q, const mx::array& k, const mx::array& v, const std::vector<int>& lengths, bool causal, float scale, mx::Stream s);
// cos and sin of positions [T] over freqs [half], as float32 [T, 2, half].
mx::array cpu_rope_table(const mx::array& positions, const mx::array& freqs, float scale, mx::Stream s);
// x [T, H, D], the first 2 * half of each head rotated.
mx::array cpu_rope(const mx::array& x, const mx::array& table, bool pairs, mx::Stream s);
// What cpu_rope has been given for x; nothing when x is something else. Only for arrays of which nobody has begun to compute anything.
struct Rotation {
  mx::array x, table;
  bool pairs;
};
std::optional<Rotation> rotation_of(const mx::array& x);
// uint32 index of the first maximum of each row.
mx::array cpu_argmax(const mx::array& x, mx::Stream s);
// uint32 [n, k]: the indices of the k largest of each row, the largest first and the first of equals before the others.
mx::array cpu_top_k(const mx::array& x, int k, mx::Stream s);
// Experts (cpu-experts.cpp). The plan for what `chosen`, uint32 [T, k], says: int32 [experts + 1 + 2 T k].
mx::array cpu_expert_plan(const mx::array& chosen, int experts, mx::Stream s);
// x [T, n] to the rows of each choice, [T k, n], in the order of the experts.
mx::array cpu_expert_spread(const mx::array& x, const mx::array& plan, int experts, mx::Stream s);
// Such rows y [T k, n] to the sums of each token's, with weights [T, k].
mx::array cpu_expert_combine(const mx::array& y, const mx::array& plan, const mx::array& weights, int experts, mx::Stream s);
// Such rows x [R, k], each times the packed matrix of its expert, plus bias [experts, n]. Without a plan every expert has as many rows.
mx::array cpu_expert_linear(
    const mx::array& x, const mx::array& packed, const std::optional<mx::array>& bias, const std::optional<mx::array>& plan, int experts, int n,
    mx::Stream s);
mx::array cpu_expert_quantized_linear(
    const mx::array& x, const mx::array& packed, const std::optional<mx::array>& bias, const std::optional<mx::array>& plan, int experts, int n,
    int group, int bits, mx::Stream s);
// uint32 [n]: one index drawn from each row of scores [n, m]; params [n, 5]: temperature, top_p, top_k (0: all), min_p and a uniform
// number. Filters look at the untempered probabilities, as mlx-lm's do.
mx::array cpu_sample(const mx::array& scores, const mx::array& params, mx::Stream s);
// scores [n, m] with -infinity for what the filters remove; filters [n, 6]: top_n_sigma (0: off), typical_p (1: off), top_p, min_p, the
// threshold of XTC (1: off) and top_k, applied in this order; exempt int32 [n, w]: ids that XTC leaves alone, negative ones are none.
mx::array cpu_shape(const mx::array& scores, const mx::array& filters, const mx::array& exempt, mx::Stream s);
// scores [n, m] where bit i % 32 of word i / 32 of the row in `allowed` (int32) is set, elsewhere -infinity.
mx::array cpu_mask(const mx::array& scores, const mx::array& allowed, mx::Stream s);
// Writes k [T, Hkv, D] and v [T, Hkv, Dv] (without them nothing is written) to the caches and attends. `caches`: the k tensor
// [R, Hkv, slots, D] and the v tensor [R, Hkv, slots, Dv] of each class in turn, or, without v, the k tensors alone: then the
// values are the first Dv numbers of the keys. `plan`: int32 rows of [class, row, start, count, offset], one for each stretch of a
// sequence. `asked`: int32 rows of [n, first], as many: the last n tokens of the stretch attend, their queries are those of q from
// `first` on; empty: all do, q has the batch's tokens. Position p lies in slot p % slots. Options as in AttentionTask.
struct AttendOptions {
  int value_dim, window, chunk;
  float scale, softcap;
};
mx::array cpu_attend(
    const mx::array& q, const std::optional<mx::array>& k, const std::optional<mx::array>& v, const std::optional<mx::array>& sinks,
    const std::vector<mx::array>& caches, const std::vector<int>& plan, const std::vector<int>& asked, const AttendOptions& options, mx::Stream s);

// Tokens [start, start + count) of a row in all tensors [R, H, slots, D] of a class: [count, sum of H D].
mx::array cpu_export_tokens(const std::vector<mx::array>& caches, int row, int start, int count, mx::Stream s);
// Writes such blocks, one after the other, into a row from position `start` on. The result says nothing but that it is done.
mx::array cpu_import_tokens(const std::vector<mx::array>& caches, const std::vector<mx::array>& blocks, int row, int start, mx::Stream s);
// One row of all tensors [R, ...], flat; and back.
mx::array cpu_export_state(const std::vector<mx::array>& states, int row, mx::Stream s);
mx::array cpu_import_state(const std::vector<mx::array>& states, const mx::array& state, int row, mx::Stream s);


// The scans of recurrent layers; see Recurrence in src/kv/cache.ts for what they compute. `states`: a tensor [R, ...] of each class,
// updated in place; a stretch that starts at 0 begins with zeros. `plan` as above.
// x [T, C], weight [K, C], states [R, K - 1, C].
mx::array cpu_convolve(
    const mx::array& x, const mx::array& weight, const std::optional<mx::array>& bias, const std::vector<mx::array>& states,
    const std::vector<int>& plan, bool silu, mx::Stream s);
// x [T, 2 Hk Dk + Hv Dv], a and b [T, Hv], decay and bias [Hv], states [R, Hv, Dv, Dk]; returns [T, Hv, Dv].
mx::array cpu_gated_delta(
    const mx::array& x, const mx::array& a, const mx::array& b, const mx::array& decay, const mx::array& bias,
    const std::vector<mx::array>& states, const std::vector<int>& plan, int key_heads, mx::Stream s);
// x [T, H P + 2 G N], dt [T, H], bias, decay and skip [H], states [R, H, P, N]; returns [T, H P].
mx::array cpu_state_space(
    const mx::array& x, const mx::array& dt, const mx::array& bias, const mx::array& decay, const mx::array& skip,
    const std::vector<mx::array>& states, const std::vector<int>& plan, float low, float high, mx::Stream s);

}  // namespace shim
