// Sixteen floats at a time, by the vector extensions of GCC and Clang; and the types that weights are kept in.
#pragma once

#include <stdint.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __AVX512F__
#include <immintrin.h>
#endif

enum Kind : int64_t { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2 };

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t i16 __attribute__((vector_size(64)));
typedef uint32_t u16 __attribute__((vector_size(64)));
typedef uint16_t h16 __attribute__((vector_size(32)));
typedef int8_t b16 __attribute__((vector_size(16)));

static inline int64_t thread_index() {
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

static inline int64_t thread_count() {
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}

static inline void wait_for_all() {
#pragma omp barrier
}

// The nearest bfloat16, ties to even; what is not a number stays none.
struct bf16 {
    uint16_t bits;
    bf16() = default;
    explicit bf16(float value) {
        uint32_t word;
        memcpy(&word, &value, 4);
        bits = value != value ? 0x7fc0 : (uint16_t)((word + 0x7fff + ((word >> 16) & 1)) >> 16);
    }
    explicit operator float() const {
        const uint32_t word = (uint32_t)bits << 16;
        float value;
        memcpy(&value, &word, 4);
        return value;
    }
};

static inline float rounded(float value, int64_t kind) { return kind == BFLOAT16 ? (float)bf16(value) : value; }

static inline v16 load16(const float* from) {
    v16 value;
    memcpy(&value, from, 64);
    return value;
}

static inline v16 load16(const bf16* from) {
    h16 half;
    memcpy(&half, from, 32);
    return (v16)(__builtin_convertvector(half, u16) << 16);
}

static inline v16 load16(const int8_t* from) {
    b16 bytes;
    memcpy(&bytes, from, 16);
#ifdef __AVX512F__  // GCC 12 makes sixteen conversions of it
    return (v16)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32((__m128i)bytes));
#else
    return __builtin_convertvector(bytes, v16);
#endif
}

static inline v16 load_some(const float* from, int64_t count) {
    if (count == 16) return load16(from);
    v16 value = {};
    memcpy(&value, from, count * sizeof(float));
    return value;
}

static inline void store16(float* to, v16 value) { memcpy(to, &value, 64); }

static inline void store_some(float* to, v16 value, int64_t count) {
    if (count == 16) store16(to, value);
    else memcpy(to, &value, count * sizeof(float));
}

static inline float sum16(v16 value) {
#ifdef __AVX512F__
    return _mm512_reduce_add_ps((__m512)value);
#else
    float sum = 0;
    for (int i = 0; i < 16; i++) sum += value[i];
    return sum;
#endif
}

template <typename T>
static inline float dot(const T* a, const float* b, int64_t size) {
    v16 sums = {};
    int64_t i = 0;
    for (; i + 16 <= size; i += 16) sums += load16(a + i) * load16(b + i);
    float sum = sum16(sums);
    for (; i < size; i++) sum += (float)a[i] * b[i];
    return sum;
}

template <typename T>
static inline void add_scaled(float* to, const T* x, float factor, int64_t size) {
    int64_t i = 0;
    for (; i + 16 <= size; i += 16) store16(to + i, load16(to + i) + load16(x + i) * factor);
    for (; i < size; i++) to[i] += (float)x[i] * factor;
}

// e^x by 2^n * e^r with |r| <= ln 2 / 2 and the Taylor series of e^r to the seventh power: error below 2e-7.
static inline v16 exp16(v16 x) {
    const v16 zero = {};
    x = x > 88.0f ? zero + 88.0f : x;
    x = x < -87.0f ? zero - 87.0f : x;
    const v16 scaled = x * 1.44269504f;
    const i16 n = __builtin_convertvector(scaled + (scaled < zero ? zero - 0.5f : zero + 0.5f), i16);
    const v16 whole = __builtin_convertvector(n, v16);
    const v16 r = (x - whole * 0.693145752f) - whole * 1.42860677e-6f;
    v16 sum = zero + 1.0f / 5040;
    sum = sum * r + 1.0f / 720;
    sum = sum * r + 1.0f / 120;
    sum = sum * r + 1.0f / 24;
    sum = sum * r + 1.0f / 6;
    sum = sum * r + 0.5f;
    sum = sum * r + 1.0f;
    sum = sum * r + 1.0f;
    return sum * (v16)((n + 127) << 23);
}

// Scores become e^(score - highest); their sum.
static inline float exponentials(float* scores, int64_t count) {
    float highest = scores[0];
    for (int64_t i = 1; i < count; i++) highest = scores[i] > highest ? scores[i] : highest;
    float sum = 0;
    for (int64_t i = 0; i < count; i += 16) {
        const int64_t some = count - i < 16 ? count - i : 16;
        const v16 made = exp16(load_some(scores + i, some) - highest);
        store_some(scores + i, made, some);
        if (some == 16) sum += sum16(made);
        else for (int64_t j = 0; j < some; j++) sum += made[j];
    }
    return sum;
}
