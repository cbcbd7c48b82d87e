// A register of floats at a time, WIDTH of them, by the vector extensions of GCC and Clang; and the types that
// weights are kept in. What the extensions cannot say well is written for each level in its own instructions:
//   AVX-512   16 floats    AVX2   8 floats    the rest   4 floats, in what the compiler makes of them
// The last form is right on every processor, and the reference for the tests.
#pragma once

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && defined(__AVX512BW__)
#include <immintrin.h>
#define REMORA_AVX512
static const int WIDTH = 16;
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define REMORA_AVX2
static const int WIDTH = 8;
#else
static const int WIDTH = 4;
#endif

enum Kind : int64_t { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2, NF4 = 3, INT4 = 4 };

typedef float vec __attribute__((vector_size(WIDTH * 4)));
typedef int32_t ivec __attribute__((vector_size(WIDTH * 4)));
typedef uint32_t uvec __attribute__((vector_size(WIDTH * 4)));
typedef int16_t pairs __attribute__((vector_size(WIDTH * 4)));  // 2 x WIDTH integers of 16 bits
typedef int16_t half_ivec __attribute__((vector_size(WIDTH * 2)));
typedef uint16_t half_uvec __attribute__((vector_size(WIDTH * 2)));
typedef int8_t bytes __attribute__((vector_size(WIDTH)));
typedef int8_t two_bytes __attribute__((vector_size(WIDTH * 2)));

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

static inline vec rounded(vec value, int64_t kind) {
    if (kind != BFLOAT16) return value;
    const uvec word = (uvec)value, made = (word + 0x7fff + ((word >> 16) & 1)) & 0xffff0000;
    return (vec)(value == value ? made : made * 0 + 0x7fc00000);
}

static inline vec load(const float* from) {
    vec value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline vec load(const bf16* from) {
    half_uvec halves;
    memcpy(&halves, from, sizeof halves);
#if defined(REMORA_AVX512)
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)halves), 16);
#elif defined(REMORA_AVX2)
    return (vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)halves), 16);
#else
    return (vec)(__builtin_convertvector(halves, uvec) << 16);
#endif
}

static inline pairs load(const int16_t* from) {
    pairs value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline pairs load(const int8_t* from) {
    two_bytes small;
    memcpy(&small, from, sizeof small);
#if defined(REMORA_AVX512)
    return (pairs)_mm512_cvtepi8_epi16((__m256i)small);
#elif defined(REMORA_AVX2)
    return (pairs)_mm256_cvtepi8_epi16((__m128i)small);
#else
    return __builtin_convertvector(small, pairs);
#endif
}

static inline vec load_some(const float* from, int64_t count) {
    if (count >= WIDTH) return load(from);
    vec value = {};
    if (count > 0) memcpy(&value, from, count * sizeof(float));
    return value;
}

static inline void store(float* to, vec value) { memcpy(to, &value, sizeof value); }

static inline void store_some(float* to, vec value, int64_t count) {
    if (count >= WIDTH) store(to, value);
    else if (count > 0) memcpy(to, &value, count * sizeof(float));
}

// WIDTH values that lie `stride` apart, as far as they are there.
static inline vec load_apart(const float* from, int64_t stride, int64_t count) {
#if defined(REMORA_AVX512)
    const __m512i index = (__m512i)(ivec{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} * (int32_t)stride);
    const __mmask16 there = count >= WIDTH ? 0xffff : count <= 0 ? 0 : (__mmask16)((1 << count) - 1);
    return (vec)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), there, index, from, sizeof(float));
#else
    vec value = {};
    for (int64_t i = 0; i < WIDTH && i < count; i++) value[i] = from[i * stride];
    return value;
#endif
}

static inline float sum(vec value) {
#if defined(REMORA_AVX512)
    return _mm512_reduce_add_ps((__m512)value);
#elif defined(REMORA_AVX2)
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128((__m256)value), _mm256_extractf128_ps((__m256)value, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
#else
    float total = 0;
    for (int i = 0; i < WIDTH; i++) total += value[i];
    return total;
#endif
}

// In floats, since the lanes together may be more than 32 bits.
static inline float sum(ivec value) { return sum(__builtin_convertvector(value, vec)); }

static inline vec add_product(vec to, vec a, vec b) { return to + a * b; }

// With one rounding wherever the processor can. The compiler may choose for `to + a * b`, and chooses by the loop
// around it: a number would depend on how many rows and columns are computed together.
static inline float add_product(float to, float a, float b) {
#ifdef __FP_FAST_FMAF
    return __builtin_fmaf(a, b, to);
#else
    return to + a * b;
#endif
}

// Both products of each pair.
static inline ivec add_product(ivec to, pairs a, pairs b) {
#if defined(REMORA_AVX512)
    return to + (ivec)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(REMORA_AVX2)
    return to + (ivec)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#else
    const ivec a2 = (ivec)a, b2 = (ivec)b;
    return to + ((ivec)((uvec)a2 << 16) >> 16) * ((ivec)((uvec)b2 << 16) >> 16) + (a2 >> 16) * (b2 >> 16);
#endif
}

// The nearest integers, ties to even, of values below four million in size.
static inline ivec nearest(vec value) {
    const vec shift = vec{} + 12582912.0f;  // 1.5 * 2^23: floats from there on are a whole apart
    return (ivec)(value + shift) - (ivec)shift;
}

template <typename T>
static inline float dot(const T* a, const float* b, int64_t size) {
    vec sums = {};
    int64_t i = 0;
    for (; i + WIDTH <= size; i += WIDTH) sums += load(a + i) * load(b + i);
    float total = sum(sums);
    for (; i < size; i++) total += (float)a[i] * b[i];
    return total;
}

template <typename T>
static inline void add_scaled(float* to, const T* x, float factor, int64_t size) {
    int64_t i = 0;
    for (; i + WIDTH <= size; i += WIDTH) store(to + i, load(to + i) + load(x + i) * factor);
    for (; i < size; i++) to[i] += (float)x[i] * factor;
}

// e^x by 2^n * e^r with |r| <= ln 2 / 2 and the Taylor series of e^r to the seventh power: error below 2e-7.
static inline vec exponential(vec x) {
    const vec zero = {};
    x = x > 88.0f ? zero + 88.0f : x;
    x = x < -87.0f ? zero - 87.0f : x;
    const vec scaled = x * 1.44269504f;
    const ivec n = __builtin_convertvector(scaled + (scaled < zero ? zero - 0.5f : zero + 0.5f), ivec);
    const vec whole = __builtin_convertvector(n, vec);
    const vec r = (x - whole * 0.693145752f) - whole * 1.42860677e-6f;
    vec made = zero + 1.0f / 5040;
    made = made * r + 1.0f / 720;
    made = made * r + 1.0f / 120;
    made = made * r + 1.0f / 24;
    made = made * r + 1.0f / 6;
    made = made * r + 0.5f;
    made = made * r + 1.0f;
    made = made * r + 1.0f;
    return made * (vec)((n + 127) << 23);
}

// Scores become e^(score - highest); their sum.
static inline float exponentials(float* scores, int64_t count) {
    float highest = scores[0], total = 0;
    for (int64_t i = 1; i < count; i++) highest = scores[i] > highest ? scores[i] : highest;
    for (int64_t i = 0; i < count; i += WIDTH) {
        const int64_t some = count - i < WIDTH ? count - i : WIDTH;
        const vec made = exponential(load_some(scores + i, some) - highest);
        store_some(scores + i, made, some);
        if (some == WIDTH) total += sum(made);
        else for (int64_t j = 0; j < some; j++) total += made[j];
    }
    return total;
}
