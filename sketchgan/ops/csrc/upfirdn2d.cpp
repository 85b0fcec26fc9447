// Upsample, filter, downsample in one pass: the zeros that upsampling inserts and the pixels that downsampling drops are
// never computed. Its own adjoint, with up and down exchanged and the kernel turned round, so both derivatives are it.
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

namespace {

// Which inputs an output looks at, along one axis: input `first` and on, with every up-th tap from `tap` on, downwards.
struct Reach {
  int64_t first, tap, count;
};

Reach reach(int64_t out, int64_t size, int64_t taps, int64_t up, int64_t down, int64_t pad) {
  // Output `out` is the sum over t of k[t] z[out * down + taps - 1 - t - pad], z the input with zeros in between.
  const int64_t lowest = out * down - pad, highest = lowest + taps - 1;
  const auto floor_div = [](int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); };
  const int64_t first = std::max<int64_t>(0, floor_div(lowest + up - 1, up));
  const int64_t last = std::min<int64_t>(size - 1, floor_div(highest, up));
  return {first, taps - 1 - (first * up - lowest), std::max<int64_t>(0, last - first + 1)};
}

// x [N, C, H, W], kernel [kh, kw], zeros (top, left) before each axis -> [N, C, rows, columns].
at::Tensor upfirdn2d(const at::Tensor& x_, const at::Tensor& kernel_, int64_t up, int64_t down, int64_t top, int64_t left,
                     int64_t rows, int64_t columns) {
  TORCH_CHECK(x_.dim() == 4 && kernel_.dim() == 2 && up >= 1 && down >= 1 && rows >= 0 && columns >= 0, "upfirdn2d wants "
              "x [N, C, H, W], a kernel [kh, kw], and up, down >= 1");
  const auto x = x_.contiguous(at::MemoryFormat::ChannelsLast);
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3), kh = kernel_.size(0), kw = kernel_.size(1);
  auto y = at::empty({n, c, rows, columns}, x.options(), at::MemoryFormat::ChannelsLast);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "upfirdn2d", [&] {
    using A = at::opmath_type<scalar_t>;
    const auto kernel = kernel_.to(x.scalar_type()).to(at::toOpMathType(x.scalar_type())).contiguous();
    const scalar_t* from = x.data_ptr<scalar_t>();
    const A* k = kernel.data_ptr<A>();
    scalar_t* to = y.data_ptr<scalar_t>();
    at::parallel_for(0, n * rows, 1, [&](int64_t begin, int64_t end) {
      std::vector<A> sum(c);
      for (int64_t row = begin; row < end; ++row) {
        const Reach v = reach(row % rows, h, kh, up, down, top);
        for (int64_t column = 0; column < columns; ++column) {
          const Reach u = reach(column, w, kw, up, down, left);
          std::fill(sum.begin(), sum.end(), A(0));
          for (int64_t i = 0; i < v.count; ++i)
            for (int64_t j = 0; j < u.count; ++j) {
              const A weight = k[(v.tap - i * up) * kw + u.tap - j * up];
              const scalar_t* pixel = from + ((row / rows * h + v.first + i) * w + u.first + j) * c;
              for (int64_t ch = 0; ch < c; ++ch) sum[ch] += weight * A(pixel[ch]);
            }
          scalar_t* out = to + (row * columns + column) * c;
          for (int64_t ch = 0; ch < c; ++ch) out[ch] = scalar_t(sum[ch]);
        }
      }
    });
  });
  return y;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(sketchgan, m) {
  m.def("upfirdn2d(Tensor x, Tensor kernel, int up, int down, int top, int left, int rows, int columns) -> Tensor");
}

TORCH_LIBRARY_IMPL(sketchgan, CPU, m) { m.impl("upfirdn2d", &upfirdn2d); }
