// Torch's tensors to the kernels of kernels.cu, and back.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

extern "C" int sketchgan_bias_act(int, const void*, const void*, void*, long long, int, float, float, void*);
extern "C" int sketchgan_bias_act_backward(int, const void*, const void*, void*, long long, float, float, void*);
extern "C" int sketchgan_upfirdn2d(int, const void*, const float*, void*, const int*, void*);

namespace {

int kind(const at::Tensor& x) {
  const auto type = x.scalar_type();
  TORCH_CHECK(type == at::kFloat || type == at::kHalf || type == at::kBFloat16, "float32, float16 or bfloat16, not ", type);
  return type == at::kFloat ? 0 : type == at::kHalf ? 1 : 2;
}

at::Tensor last(const at::Tensor& x) { return x.dim() == 4 ? x.contiguous(at::MemoryFormat::ChannelsLast) : x.contiguous(); }

void* stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

void done(int error) { TORCH_CHECK(error == 0, "a kernel of sketchgan failed with CUDA's error ", error); }

at::Tensor bias_act(const at::Tensor& x_, const at::Tensor& bias_, double gain, double slope) {
  const auto x = last(x_), bias = bias_.to(x.scalar_type()).contiguous();
  auto y = at::empty_like(x);
  done(sketchgan_bias_act(kind(x), x.data_ptr(), bias.data_ptr(), y.data_ptr(), x.numel(), x.size(1), gain, gain * slope,
                          stream()));
  return y;
}

at::Tensor bias_act_backward(const at::Tensor& g_, const at::Tensor& y_, double gain, double slope) {
  const auto g = last(g_), y = last(y_);
  auto out = at::empty_like(y);
  done(sketchgan_bias_act_backward(kind(g), g.data_ptr(), y.data_ptr(), out.data_ptr(), g.numel(), gain, gain * slope,
                                   stream()));
  return out;
}

at::Tensor upfirdn2d(const at::Tensor& x_, const at::Tensor& kernel_, int64_t up, int64_t down, int64_t top, int64_t left,
                     int64_t rows, int64_t columns) {
  const auto x = last(x_), kernel = kernel_.to(at::kFloat).contiguous();
  auto y = at::empty({x.size(0), x.size(1), rows, columns}, x.options(), at::MemoryFormat::ChannelsLast);
  const int plan[] = {(int)x.size(0), (int)x.size(1), (int)x.size(2), (int)x.size(3), (int)kernel.size(0),
                      (int)kernel.size(1), (int)up, (int)down, (int)top, (int)left, (int)rows, (int)columns};
  done(sketchgan_upfirdn2d(kind(x), x.data_ptr(), kernel.data_ptr<float>(), y.data_ptr(), plan, stream()));
  return y;
}

}  // namespace

TORCH_LIBRARY_IMPL(sketchgan, CUDA, m) {
  m.impl("bias_act", &bias_act);
  m.impl("bias_act_backward", &bias_act_backward);
  m.impl("upfirdn2d", &upfirdn2d);
}
