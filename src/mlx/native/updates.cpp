// Updates in place of long-lived tensors such as KV caches.
#include "mlx/primitives.h"
#include "shim.h"

namespace shim {

mx::array scatter_rows(const mx::array& a, const mx::array& rows, const mx::array& updates, mx::Stream s) {
  return mx::scatter(a, {rows}, mx::expand_dims(updates, 1, s), std::vector<int>{0}, s);
}

mx::array scatter_positions(
    const mx::array& a, const mx::array& rows, const mx::array& positions, const mx::array& updates, mx::Stream s) {
  if (a.ndim() != 4 || updates.ndim() != 3) throw std::invalid_argument("scatter_positions: a [R, H, C, D], updates [n, H, D]");
  mx::Shape shape{updates.shape(0), 1, updates.shape(1), 1, updates.shape(2)};
  return mx::scatter(a, {rows, positions}, mx::reshape(updates, shape, s), {0, 2}, s);
}

namespace {

// MLX updates in place only what nothing else holds, and work in flight holds its inputs until it has run. So a cache
// written in every step would be copied as soon as two steps overlap. This primitive moves the buffer out of its input:
// whoever is in flight keeps the raw address, order on the one stream keeps reads before writes, and the update that
// follows finds a buffer with a single owner.
class Renew : public mx::Primitive {
 public:
  explicit Renew(mx::Stream s) : Primitive(s) {}
  void eval_cpu(const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override { move(inputs, outputs); }
  void eval_gpu(const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override { move(inputs, outputs); }
  const char* name() const override { return "Renew"; }

 private:
  static void move(const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) {
    const mx::array& in = inputs[0];
    bool owner = in.offset() == 0 && in.data_size() == in.size() && in.data_shared_ptr()->buffer().ptr() != nullptr;
    if (!owner) throw std::runtime_error("renew: the array does not own its buffer");
    outputs[0].set_data(std::move(*in.data_shared_ptr()), in.data_size(), in.strides(), in.flags());
  }
};

}  // namespace

mx::array renew(const mx::array& a, const std::vector<mx::array>& after, mx::Stream s) {
  std::vector<mx::array> inputs{a};
  inputs.insert(inputs.end(), after.begin(), after.end());
  return mx::array(a.shape(), a.dtype(), std::make_shared<Renew>(s), std::move(inputs));
}

}  // namespace shim
