#pragma once
// FASTNN_HOST_DEVICE: a function that kernels on a CUDA device call as well.

#ifdef __CUDACC__
#define FASTNN_HOST_DEVICE __host__ __device__
#else
#define FASTNN_HOST_DEVICE
#endif
