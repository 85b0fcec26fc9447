// The same two operators for NVIDIA's GPUs, without any header of torch, so that nvcc compiles them in seconds; glue_cuda.cpp
// hands torch's tensors over. Everything is channels last: element i of bias_act belongs to channel i % channels.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace {

__device__ inline float widen(float v) { return v; }
__device__ inline float widen(__half v) { return __half2float(v); }
__device__ inline float widen(__nv_bfloat16 v) { return __bfloat162float(v); }
template <class T> __device__ inline T narrow(float v);
template <> __device__ inline float narrow<float>(float v) { return v; }
template <> __device__ inline __half narrow<__half>(float v) { return __float2half(v); }
template <> __device__ inline __nv_bfloat16 narrow<__nv_bfloat16>(float v) { return __float2bfloat16(v); }

template <class T>
__global__ void bias_act(const T* x, const T* bias, T* y, long long count, int channels, float up, float down) {
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
    const float value = widen(x[i]) + widen(bias[i % channels]);
    y[i] = narrow<T>(value * (value > 0 ? up : down));
  }
}

template <class T>
__global__ void bias_act_backward(const T* g, const T* y, T* out, long long count, float up, float down) {
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x)
    out[i] = narrow<T>(widen(g[i]) * (widen(y[i]) > 0 ? up : down));
}

struct Plan {
  int n, c, h, w, kh, kw, up, down, top, left, rows, columns;
};

template <class T>
__global__ void upfirdn2d(const T* x, const float* k, T* y, Plan p) {
  const long long count = (long long)p.n * p.rows * p.columns * p.c;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
    const int c = i % p.c, column = i / p.c % p.columns, row = i / p.c / p.columns % p.rows;
    const long long n = i / p.c / p.columns / p.rows;
    float sum = 0;
    for (int a = 0; a < p.kh; ++a) {
      const int r = row * p.down - p.top + a;
      if (r < 0 || r % p.up || r / p.up >= p.h) continue;
      for (int b = 0; b < p.kw; ++b) {
        const int s = column * p.down - p.left + b;
        if (s < 0 || s % p.up || s / p.up >= p.w) continue;
        sum += k[(p.kh - 1 - a) * p.kw + p.kw - 1 - b] * widen(x[((n * p.h + r / p.up) * p.w + s / p.up) * p.c + c]);
      }
    }
    y[i] = narrow<T>(sum);
  }
}

template <class T>
int run_bias_act(const void* x, const void* b, void* y, long long count, int channels, float up, float down, void* stream) {
  const int blocks = (int)((count + 255) / 256 < 65535 ? (count + 255) / 256 : 65535);
  if (blocks) bias_act<T><<<blocks, 256, 0, (cudaStream_t)stream>>>((const T*)x, (const T*)b, (T*)y, count, channels, up, down);
  return (int)cudaGetLastError();
}

template <class T>
int run_backward(const void* g, const void* y, void* out, long long count, float up, float down, void* stream) {
  const int blocks = (int)((count + 255) / 256 < 65535 ? (count + 255) / 256 : 65535);
  if (blocks) bias_act_backward<T><<<blocks, 256, 0, (cudaStream_t)stream>>>((const T*)g, (const T*)y, (T*)out, count, up, down);
  return (int)cudaGetLastError();
}

template <class T>
int run_upfirdn2d(const void* x, const float* k, void* y, Plan p, void* stream) {
  const long long count = (long long)p.n * p.rows * p.columns * p.c;
  const int blocks = (int)((count + 255) / 256 < 65535 ? (count + 255) / 256 : 65535);
  if (blocks) upfirdn2d<T><<<blocks, 256, 0, (cudaStream_t)stream>>>((const T*)x, k, (T*)y, p);
  return (int)cudaGetLastError();
}

}  // namespace

// kind: 0 float32, 1 float16, 2 bfloat16. Each returns CUDA's error code, 0 if there was none.
extern "C" int sketchgan_bias_act(int kind, const void* x, const void* b, void* y, long long count, int channels, float up,
                                  float down, void* stream) {
  const auto run = kind == 0 ? run_bias_act<float> : kind == 1 ? run_bias_act<__half> : run_bias_act<__nv_bfloat16>;
  return run(x, b, y, count, channels, up, down, stream);
}

extern "C" int sketchgan_bias_act_backward(int kind, const void* g, const void* y, void* out, long long count, float up,
                                           float down, void* stream) {
  const auto run = kind == 0 ? run_backward<float> : kind == 1 ? run_backward<__half> : run_backward<__nv_bfloat16>;
  return run(g, y, out, count, up, down, stream);
}

extern "C" int sketchgan_upfirdn2d(int kind, const void* x, const float* k, void* y, const int* plan, void* stream) {
  const Plan p{plan[0], plan[1], plan[2], plan[3], plan[4], plan[5], plan[6], plan[7], plan[8], plan[9], plan[10], plan[11]};
  const auto run = kind == 0 ? run_upfirdn2d<float> : kind == 1 ? run_upfirdn2d<__half> : run_upfirdn2d<__nv_bfloat16>;
  return run(x, k, y, p, stream);
}
