// A decoder layer in native code: everything but a prompt's attention. Python owns all memory
// and says what is where (structs.py mirrors the structs below, field by field); this file allocates nothing.
//
// Activations are float32, rounded to the cache's type where they enter a product, so that a row's numbers do not
// depend on how many rows are computed with it. Weights are read once a step, in the order in which they lie:
//   bfloat16, int8   AMX tiles (16 rows of the matrix against 16 rows of x), where CPU and sizes allow
//   int8             else sums of integers in pairs, with x in 16 bits as for tiles
//   the rest         fused multiply-adds, a few rows of the matrix against up to four of x
// Adapters: low = A x for every row with its own adapter, then B low is added to the columns that a thread made.

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "vectors.h"
#include "matrix.h"

struct Norm {
    const float *weight, *bias;  // weight null: there is no such norm; bias may be null
    double epsilon;
    int64_t centred;             // LayerNorm, which takes the mean away first; else RMSNorm
};

enum Activation { SILU, GELU_TANH, RELU_SQUARED };

struct Layer {
    Matrix qkv, o, gate_up, down;  // gate_up has no gate where it has as many columns as down has inputs
    Norm input_norm, mlp_norm;         // of what attention and the MLP read
    Norm attention_out, mlp_out;       // of what they add
    Norm q_norm, k_norm;               // of each head, or of all heads as one where whole_norms is set
    double scaling, softcap, residual; // softcap 0: none; residual: what is added is multiplied by it
    int64_t activation, heads, kv_heads, head_size;
    int64_t parallel, whole_norms;     // parallel: the MLP reads what attention reads
    int64_t window, rotates, rope;     // window 0: none; rotates 0: without positions; rope: which of the step's
    int64_t interleaved;               // rotated are neighbours, else numbers that are half of it apart
    void *keys, *values;                         // (kv heads, cache rows, head size)
    int64_t cache_rows;
};

struct Head {
    Matrix matrix;
    Norm norm;
};

// Rows of this step; `cache_kind` is the type of keys and values.
struct Step {
    int64_t rows, hidden_size, threads, cache_kind;
    float* hidden;        // (rows, hidden size): in and out
    float *normed, *wide, *attended;
    float *cos, *sin;     // (kinds of rope, rows, rotary size)
    int64_t rotary_size;  // numbers of a head, its first, that are rotated
    int64_t* cache_row;   // (rows,): where its key and value go
    int64_t* first_row;   // (rows,): where its sequence begins in the cache
    int64_t* seen;        // (rows,): tokens up to itself, or 0 for a row whose attention is not computed here
    float* scores;        // (threads, query heads of a key head, cache rows)
    int64_t last_count;
    int64_t* last;        // (last_count,): rows whose logits are wanted
    float* logits;        // (last_count, vocabulary)
    Products products;
    Products last_products;
};

static float mean_of(const float* x, int64_t size) {
    vec sums = {};
    int64_t i = 0;
    for (; i + WIDTH <= size; i += WIDTH) sums += load(x + i);
    float total = sum(sums);
    for (; i < size; i++) total += x[i];
    return total / size;
}

static float variance_of(const float* x, float mean, int64_t size) {
    vec sums = {};
    int64_t i = 0;
    for (; i + WIDTH <= size; i += WIDTH) sums += (load(x + i) - mean) * (load(x + i) - mean);
    float total = sum(sums);
    for (; i < size; i++) total += (x[i] - mean) * (x[i] - mean);
    return total / size;
}

static void normalize(const float* x, const Norm& norm, int64_t size, float* out, int64_t kind) {
    const float mean = norm.centred ? mean_of(x, size) : 0.0f;
    const float square = norm.centred ? variance_of(x, mean, size) : dot(x, x, size) / size;
    const float factor = 1.0f / sqrtf(square + (float)norm.epsilon);
    for (int64_t i = 0; i < size; i += WIDTH) {
        vec made = (load_some(x + i, size - i) - mean) * factor;
        if (!norm.centred) made = rounded(made, kind);  // as the modules of RMSNorm do
        made = made * load_some(norm.weight + i, size - i);
        if (norm.bias) made = made + load_some(norm.bias + i, size - i);
        store_some(out + i, rounded(made, kind), size - i);
    }
}

// The first `size` numbers of a head, in pairs; both halves of cos and sin are the same.
static void rotate(float* x, const float* cos, const float* sin, int64_t size, int64_t interleaved) {
    const int64_t half = size / 2, stride = interleaved ? 2 : 1, apart = interleaved ? 1 : half;
    for (int64_t i = 0; i < half; i++) {
        float &first = x[i * stride], &second = x[i * stride + apart];
        const float a = first, b = second;
        first = a * cos[i] - b * sin[i];
        second = b * cos[i] + a * sin[i];
    }
}

// What a mask hides from others must still be a number: see kv_cache.py.
static const float LARGEST_VALUE = 1e15f;

template <typename T>
static void put(const float* x, int64_t size, T* to) {
    for (int64_t i = 0; i < size; i++) {
        const float value = x[i] != x[i] ? 0.0f : fminf(fmaxf(x[i], -LARGEST_VALUE), LARGEST_VALUE);
        to[i] = T(value);
    }
}

template <typename T>
static void remember(const Layer& layer, const Step& step, int64_t row) {
    const int64_t size = layer.head_size;
    float* q = step.wide + row * layer.qkv.out;
    float* k = q + layer.heads * size;
    const float* v = k + layer.kv_heads * size;
    const int64_t at = (layer.rope * step.rows + row) * step.rotary_size;
    const float *cos = step.cos + at, *sin = step.sin + at;
    if (layer.whole_norms) {
        normalize(q, layer.q_norm, layer.heads * size, q, step.cache_kind);
        normalize(k, layer.k_norm, layer.kv_heads * size, k, step.cache_kind);
    }
    for (int64_t head = 0; head < layer.heads + layer.kv_heads; head++) {
        const Norm& norm = head < layer.heads ? layer.q_norm : layer.k_norm;
        if (norm.weight && !layer.whole_norms) normalize(q + head * size, norm, size, q + head * size, step.cache_kind);
        if (layer.rotates) rotate(q + head * size, cos, sin, step.rotary_size, layer.interleaved);
    }
    for (int64_t head = 0; head < layer.kv_heads; head++) {
        const int64_t at = (head * layer.cache_rows + step.cache_row[row]) * size;
        put(k + head * size, size, (T*)layer.keys + at);
        put(v + head * size, size, (T*)layer.values + at);
    }
}

// Scores bounded by `most`, smoothly: most * tanh(score / most).
static void cap(float* scores, int64_t count, float most) {
    for (int64_t i = 0; i < count; i += WIDTH) {
        const vec twice = load_some(scores + i, count - i) * (2.0f / most);
        store_some(scores + i, most - 2.0f * most / (1.0f + exponential(twice)), count - i);
    }
}

// Query heads (group, size) against all keys of their key head: scores (group, seen).
template <int SIZE, typename T>
static void score(const T* keys, int64_t seen, const float* q, int64_t group, float scaling, float* scores) {
    const int N = SIZE / WIDTH;
    for (int64_t token = 0; token < seen; token++) {
        vec key[N];
        for (int i = 0; i < N; i++) key[i] = load(keys + token * SIZE + i * WIDTH);
        for (int64_t head = 0; head < group; head++) {
            vec sums = {};
            for (int i = 0; i < N; i++) sums += key[i] * load(q + head * SIZE + i * WIDTH);
            scores[head * seen + token] = sum(sums) * scaling;
        }
    }
}

// The mean of values (seen, size) with these weights.
template <int SIZE, typename T>
static void mean(const T* values, int64_t seen, const float* weights, float total, float* out, int64_t kind) {
    const int N = SIZE / WIDTH;
    vec sums[N] = {};
    for (int64_t token = 0; token < seen; token++)
        for (int i = 0; i < N; i++) sums[i] += load(values + token * SIZE + i * WIDTH) * weights[token];
    for (int i = 0; i < N; i++) store(out + i * WIDTH, rounded(sums[i] / total, kind));
}

// One row's query heads over what it sees of one key head, for heads of this size; 0 is any other size.
template <int SIZE, typename T>
static void attend(const Layer& layer, const Step& step, int64_t row, int64_t kv_head, float* scores) {
    const int64_t size = layer.head_size, group = layer.heads / layer.kv_heads;
    const int64_t seen = layer.window && layer.window < step.seen[row] ? layer.window : step.seen[row];
    const int64_t first = step.first_row[row] + step.seen[row] - seen;
    const T* keys = (const T*)layer.keys + (kv_head * layer.cache_rows + first) * size;
    const T* values = (const T*)layer.values + (kv_head * layer.cache_rows + first) * size;
    const float* q = step.wide + row * layer.qkv.out + kv_head * group * size;
    float* out = step.attended + (row * layer.heads + kv_head * group) * size;
    const float scaling = (float)layer.scaling;
    if constexpr (SIZE > 0)
        score<SIZE>(keys, seen, q, group, scaling, scores);
    else
        for (int64_t token = 0; token < seen; token++)
            for (int64_t head = 0; head < group; head++)
                scores[head * seen + token] = dot(keys + token * size, q + head * size, size) * scaling;
    if (layer.softcap) cap(scores, group * seen, (float)layer.softcap);
    for (int64_t head = 0; head < group; head++) {
        float *of_head = scores + head * seen, *o = out + head * size;
        const float total = exponentials(of_head, seen);
        if constexpr (SIZE > 0) {
            mean<SIZE>(values, seen, of_head, total, o, step.cache_kind);
        } else {
            memset(o, 0, size * sizeof(float));
            for (int64_t token = 0; token < seen; token++) add_scaled(o, values + token * size, of_head[token], size);
            for (int64_t i = 0; i < size; i++) o[i] = rounded(o[i] / total, step.cache_kind);
        }
    }
}

template <typename T>
static void attend_all(const Layer& layer, const Step& step, int64_t thread) {
    const int64_t group = layer.heads / layer.kv_heads;
    float* scores = step.scores + thread * group * layer.cache_rows;
    const int64_t count = step.rows * layer.kv_heads;
    const auto attend_with = layer.head_size == 64 ? attend<64, T> : layer.head_size == 128 ? attend<128, T> : attend<0, T>;
    for (int64_t item = thread; item < count; item += step.threads)
        if (step.seen[item / layer.kv_heads]) attend_with(layer, step, item / layer.kv_heads, item % layer.kv_heads, scores);
}

static void norm_rows(const Step& step, const Norm& norm, int64_t thread) {
    const int64_t size = step.hidden_size;
    for (int64_t row = thread; row < step.rows; row += step.threads) {
        const float* x = step.hidden + row * size;
        float* out = step.normed + row * size;
        if (norm.weight) normalize(x, norm, size, out, step.cache_kind);
        else for (int64_t i = 0; i < size; i += WIDTH)
            store_some(out + i, rounded(load_some(x + i, size - i), step.cache_kind), size - i);
    }
}

// Adds what was made in `wide` to the rows.
static void add_rows(const Step& step, const Norm& norm, float factor, int64_t thread) {
    const int64_t size = step.hidden_size;
    for (int64_t row = thread; row < step.rows; row += step.threads) {
        float *made = step.wide + row * size, *hidden = step.hidden + row * size;
        if (norm.weight) normalize(made, norm, size, made, step.cache_kind);
        for (int64_t i = 0; i < size; i++) hidden[i] += made[i] * factor;
    }
}

static inline vec activated(vec x, int64_t activation) {
    const vec zero = {};
    if (activation == RELU_SQUARED) return x > zero ? x * x : zero;
    // GELU by tanh is x * sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)).
    const vec slope = activation == SILU ? x : 1.59576912f * (x + 0.044715f * x * x * x);
    return x / (1.0f + exponential(-slope));
}

// gate and up (rows, 2 x size) in `wide` become f(gate) * up (rows, size) in `normed`; without a gate, f(up).
static void activate(const Layer& layer, const Step& step, int64_t thread) {
    const int64_t size = layer.down.in, columns = layer.gate_up.out;
    for (int64_t row = 0; row < step.rows; row++) {
        const float* first = step.wide + row * columns;
        float* out = step.normed + row * size;
        const int64_t from = size * thread / step.threads, to = size * (thread + 1) / step.threads;
        for (int64_t i = from; i < to; i += WIDTH) {
            vec made = activated(load_some(first + i, to - i), layer.activation);
            if (columns > size) made = made * load_some(first + size + i, to - i);
            store_some(out + i, rounded(made, step.cache_kind), to - i);
        }
    }
}

extern "C" {

// Of the structs above, in the order of structs.py.
void remora_sizes(int64_t* sizes) {
    const int64_t made[] = {sizeof(Matrix), sizeof(Pair), sizeof(Use), sizeof(Products),
                            sizeof(Norm), sizeof(Layer), sizeof(Head), sizeof(Step)};
    memcpy(sizes, made, sizeof made);
}

// Up to the attention of rows that have `seen`; the query heads of the others are in `wide`.
void remora_layer_begin(const Layer* layer, const Step* asked) {
    in_parallel(asked->threads, [=](int64_t thread, int64_t threads) {
        Step step = *asked;
        step.threads = threads;
        norm_rows(step, layer->input_norm, thread);
        wait_for_all();
        multiply(layer->qkv, step.products, step.normed, step.wide, step.rows, thread, threads);
        wait_for_all();
        for (int64_t row = thread; row < step.rows; row += threads)
            if (step.cache_kind == BFLOAT16) remember<bf16>(*layer, step, row);
            else remember<float>(*layer, step, row);
        wait_for_all();
        if (step.cache_kind == BFLOAT16) attend_all<bf16>(*layer, step, thread);
        else attend_all<float>(*layer, step, thread);
    });
}

// From what was attended to the layer's output, in `hidden`.
void remora_layer_end(const Layer* layer, const Step* asked) {
    in_parallel(asked->threads, [=](int64_t thread, int64_t threads) {
        Step step = *asked;
        step.threads = threads;
        multiply(layer->o, step.products, step.attended, step.wide, step.rows, thread, threads);
        wait_for_all();
        add_rows(step, layer->attention_out, (float)layer->residual, thread);
        wait_for_all();
        if (!layer->parallel) {  // else `normed` still has what attention was given
            norm_rows(step, layer->mlp_norm, thread);
            wait_for_all();
        }
        multiply(layer->gate_up, step.products, step.normed, step.wide, step.rows, thread, threads);
        wait_for_all();
        activate(*layer, step, thread);
        wait_for_all();
        multiply(layer->down, step.products, step.normed, step.wide, step.rows, thread, threads);
        wait_for_all();
        add_rows(step, layer->mlp_out, (float)layer->residual, thread);
    });
}

// All layers of a step whose attention is computed here for every row.
void remora_layers(const Layer* layers, int64_t count, const Step* step) {
    for (int64_t i = 0; i < count; i++) {
        remora_layer_begin(layers + i, step);
        remora_layer_end(layers + i, step);
    }
}

// Logits of the rows in `last`.
void remora_head(const Head* head, const Step* asked) {
    in_parallel(asked->threads, [=](int64_t thread, int64_t threads) {
        const Step& step = *asked;
        for (int64_t i = thread; i < step.last_count; i += threads)
            normalize(step.hidden + step.last[i] * step.hidden_size, head->norm, step.hidden_size,
                      step.normed + i * step.hidden_size, step.cache_kind);
        wait_for_all();
        multiply(head->matrix, step.last_products, step.normed, step.logits, step.last_count, thread, threads);
    });
}

}
