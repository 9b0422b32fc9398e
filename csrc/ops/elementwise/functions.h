#pragma once
// From the lines of unary_table.h and binary_table.h to functions: FASTNN_BINARY(FASTNN_BINARY_FUNCTION) is a struct
// NAME_fn with value() and the gradients for every line, those of integers are NAME_int. For kernel sources, behind
// formulas.h or formulas_cuda.h.

#include "ops/elementwise/binary_table.h"
#include "ops/elementwise/unary_table.h"

#define FASTNN_UNARY_FUNCTION(name, dtype, uses, expression, dx) \
  struct name##_fn {                                             \
    template <class V>                                           \
    static FASTNN_INLINE V value(V x, V p, V q, V r) {           \
      (void)x, (void)p, (void)q, (void)r;                        \
      return expression;                                         \
    }                                                            \
    template <class V>                                           \
    static FASTNN_INLINE V gradient(V g, V x, V y, V p, V q) {   \
      (void)g, (void)x, (void)y, (void)p, (void)q;               \
      return dx;                                                 \
    }                                                            \
  };
#define FASTNN_UNARY_INT_FUNCTION(name, expression)  \
  struct name##_int {                                \
    template <class T>                               \
    static FASTNN_INLINE T value(T x, T p, T q, T) { \
      typedef typename UnsignedOf<T>::type U;        \
      (void)p, (void)q, (void)sizeof(U);             \
      return expression;                             \
    }                                                \
  };
#define FASTNN_PREDICATE_FUNCTION(name, expression)  \
  struct name##_fn {                                 \
    template <class T>                               \
    static FASTNN_INLINE bool value(T x) {           \
      const T inf = static_cast<T>(__builtin_inf()); \
      (void)inf;                                     \
      return expression;                             \
    }                                                \
  };

#define FASTNN_BINARY_GRADIENT(which, expression)    \
  template <class V>                                 \
  static FASTNN_INLINE V which(V g, V a, V b, V y) { \
    (void)g, (void)a, (void)b, (void)y;              \
    return expression;                               \
  }
#define FASTNN_BINARY_FUNCTION(name, uses, expression, grad_a, grad_b) \
  struct name##_fn {                                                   \
    template <class V>                                                 \
    static FASTNN_INLINE V value(V a, V b) {                           \
      return expression;                                               \
    }                                                                  \
    FASTNN_BINARY_GRADIENT(da, grad_a)                                 \
    FASTNN_BINARY_GRADIENT(db, grad_b)                                 \
  };
#define FASTNN_BINARY_INT_FUNCTION(name, expression) \
  struct name##_int {                                \
    template <class T>                               \
    static FASTNN_INLINE T value(T a, T b) {         \
      typedef typename UnsignedOf<T>::type U;        \
      (void)sizeof(U);                               \
      return expression;                             \
    }                                                \
  };
#define FASTNN_COMPARE_FUNCTION(name, expression) \
  struct name##_fn {                              \
    template <class T>                            \
    static FASTNN_INLINE bool value(T a, T b) {   \
      return expression;                          \
    }                                             \
  };

#define FASTNN_TERNARY_GRADIENT(which, expression)        \
  template <class V>                                      \
  static FASTNN_INLINE V which(V g, V a, V b, V c, V p) { \
    (void)g, (void)a, (void)b, (void)c, (void)p;          \
    return expression;                                    \
  }
#define FASTNN_TERNARY_FUNCTION(name, expression, grad_a, grad_b, grad_c) \
  struct name##_fn {                                                      \
    template <class V>                                                    \
    static FASTNN_INLINE V value(V a, V b, V c, V p) {                    \
      (void)p;                                                            \
      return expression;                                                  \
    }                                                                     \
    FASTNN_TERNARY_GRADIENT(da, grad_a)                                   \
    FASTNN_TERNARY_GRADIENT(db, grad_b)                                   \
    FASTNN_TERNARY_GRADIENT(dc, grad_c)                                   \
  };
