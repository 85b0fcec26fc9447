// gain * leaky_relu(x + bias, slope) in one pass over memory, and its gradient from the output alone: the sign of the
// output is the sign of what went in, so nothing else has to be kept.
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <algorithm>

namespace {

constexpr int64_t GRAIN = 1 << 15;                       // elements below which a second thread costs more than it does

// Element i of a dense tensor belongs to channel i / inner % channels: inner is 1 in channels last, H * W otherwise.
struct Dense {
  at::Tensor x;
  int64_t channels, inner;
};

Dense dense(const at::Tensor& x) {
  TORCH_CHECK(x.dim() == 2 || x.dim() == 4, "bias_act wants [N, C] or [N, C, H, W]");
  const bool last = x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast);
  const auto y = last ? x : x.contiguous();
  return {y, x.size(1), last || x.dim() == 2 ? 1 : x.size(2) * x.size(3)};
}

at::Tensor bias_act(const at::Tensor& x_, const at::Tensor& bias_, double gain, double slope) {
  const auto d = dense(x_);
  TORCH_CHECK(bias_.dim() == 1 && bias_.size(0) == d.channels, "bias_act wants a bias [C]");
  auto y = at::empty_like(d.x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, d.x.scalar_type(), "bias_act", [&] {
    using A = at::opmath_type<scalar_t>;                 // sums of halves are made in float
    const auto bias = bias_.to(d.x.scalar_type()).to(at::toOpMathType(d.x.scalar_type())).contiguous();
    const scalar_t* from = d.x.data_ptr<scalar_t>();
    const A* b = bias.data_ptr<A>();
    scalar_t* to = y.data_ptr<scalar_t>();
    const A up = gain, down = gain * slope;
    const int64_t run = d.inner == 1 ? d.channels : d.inner, rows = run ? d.x.numel() / run : 0;
    at::parallel_for(0, rows, std::max<int64_t>(1, GRAIN / std::max<int64_t>(run, 1)), [&](int64_t begin, int64_t end) {
      // Copies of all that the inner loops read: the compiler cannot know that writing y changes none of it.
      const A high = up, low = down;
      const int64_t width = run;
      for (int64_t row = begin; row < end; ++row) {
        const scalar_t* __restrict__ in = from + row * width;
        const A* __restrict__ each = b;
        scalar_t* __restrict__ out = to + row * width;
        if (d.inner == 1)
          for (int64_t i = 0; i < width; ++i) {
            const A value = A(in[i]) + each[i];
            out[i] = scalar_t(value * (value > 0 ? high : low));
          }
        else {
          const A one = b[row % d.channels];
          for (int64_t i = 0; i < width; ++i) {
            const A value = A(in[i]) + one;
            out[i] = scalar_t(value * (value > 0 ? high : low));
          }
        }
      }
    });
  });
  return y;
}

// What comes back through y = bias_act(x, bias): g * gain where y > 0, g * gain * slope elsewhere.
at::Tensor bias_act_backward(const at::Tensor& g_, const at::Tensor& y_, double gain, double slope) {
  TORCH_CHECK(g_.sizes() == y_.sizes() && g_.scalar_type() == y_.scalar_type(), "a gradient like the output");
  const auto d = dense(y_);
  const auto g = d.x.dim() == 4 && d.inner == 1 ? g_.contiguous(at::MemoryFormat::ChannelsLast) : g_.contiguous();
  auto out = at::empty_like(d.x);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, g.scalar_type(), "bias_act_backward", [&] {
    using A = at::opmath_type<scalar_t>;
    const scalar_t *in = g.data_ptr<scalar_t>(), *y = d.x.data_ptr<scalar_t>();
    scalar_t* to = out.data_ptr<scalar_t>();
    const A up = gain, down = gain * slope;
    at::parallel_for(0, g.numel(), GRAIN, [&](int64_t begin, int64_t end) {
      const A high = up, low = down;
      const scalar_t *__restrict__ from = in, *__restrict__ sign = y;
      scalar_t* __restrict__ out = to;
      for (int64_t i = begin; i < end; ++i) out[i] = scalar_t(A(from[i]) * (A(sign[i]) > 0 ? high : low));
    });
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(sketchgan, m) {
  m.def("bias_act(Tensor x, Tensor bias, float gain, float slope) -> Tensor");
  m.def("bias_act_backward(Tensor g, Tensor y, float gain, float slope) -> Tensor");
}

TORCH_LIBRARY_IMPL(sketchgan, CPU, m) {
  m.impl("bias_act", &bias_act);
  m.impl("bias_act_backward", &bias_act_backward);
}
