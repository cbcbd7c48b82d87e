// Products and layers of random, odd sizes: each product against one in double precision, and all of it with many
// threads against one thread, bit by bit. Built once for each level, with sanitizers.
//     check SEED CASES

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <random>
#include <vector>

#include "layer.cpp"

static const int64_t MOST_THREADS = 16;
static std::mt19937 generator;

static int64_t any_of(const std::vector<int64_t>& values) { return values[generator() % values.size()]; }
static int64_t between(int64_t least, int64_t most) { return least + generator() % (most - least + 1); }
static float any_float(float size) { return (float)(generator() % 20001 - 10000.0) / 10000 * size; }

// Numbers of one kind, and the same as floats. Memory ends where they end, for AddressSanitizer.
struct Numbers {
    std::vector<float> floats;
    std::vector<bf16> halves;
    std::vector<int8_t> small;
    Numbers() = default;
    Numbers(int64_t count, int64_t kind, float size) : floats(count) {
        for (float& value : floats) {
            if (kind == INT8) small.push_back((int8_t)between(-127, 127)), value = small.back();
            else if (kind < INT8) value = any_float(size);
            if (kind == BFLOAT16) halves.push_back(bf16(value)), value = (float)halves.back();
        }
    }
    // Codes in their order in memory, and the numbers that they are with these scales and offsets of nf4 or int4.
    void quantize(const std::vector<float>& scales, const std::vector<float>& offsets, int64_t block) {
        small.resize(floats.size() / 2);
        for (size_t i = 0; i < floats.size(); i++) {
            const int64_t code = between(0, 15), byte = i / 32 * 16 + i % 16;
            small[byte] = (int8_t)(small[byte] | code << (i % 32 < 16 ? 0 : 4));
            floats[i] = offsets.empty() ? NF4_VALUES[code] * scales[i / block] : code * scales[i / block] + offsets[i / block];
        }
    }
    const void* data() const {
        return !small.empty() ? (const void*)small.data() : !halves.empty() ? (const void*)halves.data() : floats.data();
    }
};

struct TestMatrix {
    Matrix matrix = {};
    Numbers weight, scales, offsets, bias;
    TestMatrix(int64_t kind, int64_t block, int64_t in, const std::vector<int64_t>& widths, int64_t first_module, bool with_bias) {
        matrix.kind = kind, matrix.block = block, matrix.in = in, matrix.first_module = first_module;
        matrix.part_count = (int64_t)widths.size();
        for (size_t part = 0; part < widths.size(); part++) matrix.ends[part + 1] = matrix.ends[part] + widths[part];
        matrix.out = matrix.ends[widths.size()];
        weight = Numbers(matrix.out * in, kind, 1);
        if (kind == INT8) scales = Numbers(matrix.out, FLOAT32, 0.01f), matrix.scales = scales.floats.data();
        if (has_codes(matrix)) {
            scales = Numbers(matrix.out * in / block, FLOAT32, kind == INT4 ? 0.1f : 1), matrix.scales = scales.floats.data();
            if (kind == INT4) offsets = Numbers(matrix.out * in / block, FLOAT32, 1), matrix.offsets = offsets.floats.data();
            weight.quantize(scales.floats, offsets.floats, block);
        }
        if (with_bias) bias = Numbers(matrix.out, FLOAT32, 1), matrix.bias = bias.floats.data();
        matrix.weight = weight.data();
    }
    float scale(int64_t o) const { return matrix.kind == INT8 ? matrix.scales[o] : 1; }
};

// An adapter on some matrices: A (rank, in), B (out / 16 rounded up, rank, 16).
struct TestAdapter {
    std::vector<Pair> pairs;
    std::vector<Numbers> a, b, columns;
    int64_t widest = 1;
    TestAdapter(const std::vector<const Matrix*>& matrices, int64_t kind, const std::vector<int64_t>& ranks) {
        for (const Matrix* m : matrices)
            for (int64_t part = 0; part < m->part_count; part++) {
                const int64_t rank = any_of(ranks), width = m->ends[part + 1] - m->ends[part];
                a.emplace_back(rank * m->in, kind, 0.3f);
                b.emplace_back((width + 15) / 16 * 16 * rank, kind, 0.3f);
                columns.emplace_back(between(0, 1) * 2 * width, FLOAT32, 2);
                pairs.push_back(Pair{nullptr, nullptr, nullptr, rank});
                widest = rank > widest ? rank : widest;
            }
        for (size_t i = 0; i < pairs.size(); i++) {
            pairs[i].a = a[i].data(), pairs[i].b = b[i].data();
            if (!columns[i].floats.empty()) pairs[i].columns = columns[i].floats.data();
        }
    }
};

// The memory that Products points to, as large as forward.py makes it.
struct TestProducts {
    Products products = {};
    std::vector<Use> uses;
    std::vector<float> low, steps;
    std::vector<uint16_t> packed, panels;
    TestProducts(const std::vector<TestAdapter>& adapters, int64_t rows, int64_t widest_in, int64_t pair_kind) {
        int64_t row = between(0, 2);
        products.widest = 1;
        for (const TestAdapter& adapter : adapters) {
            const int64_t count = between(1, 20), left = rows - row;
            if (left <= 0) break;
            uses.push_back(Use{adapter.pairs.data(), row, count < left ? count : left, 0.5});
            row += count + between(0, 1);
            products.widest = adapter.widest > products.widest ? adapter.widest : products.widest;
        }
        const int64_t whole = (rows + 15) / 16 * 16;
        low.resize(rows * MOST_PARTS * products.widest), packed.resize(whole * widest_in), steps.resize(whole);
        panels.resize(MOST_THREADS * 32 * widest_in), products.panels = panels.data();
        products.use_count = (int64_t)uses.size(), products.pair_kind = pair_kind, products.uses = uses.data();
        products.low = low.data(), products.packed = packed.data(), products.steps = steps.data();
    }
};

static void fail(const char* what, int64_t at, double got, double expected) {
    printf("%s: at %ld %.9g, expected %.9g\n", what, (long)at, got, expected);
    exit(1);
}

static void expect_same(const char* what, const std::vector<float>& got, const std::vector<float>& expected) {
    for (size_t i = 0; i < got.size(); i++)
        if (memcmp(&got[i], &expected[i], 4) != 0) fail(what, (int64_t)i, got[i], expected[i]);
}

static const std::vector<int64_t> WIDTHS = {1, 7, 16, 17, 24, 40, 48, 64, 72, 96, 130};
static const std::vector<int64_t> INPUTS = {1, 9, 16, 32, 40, 64, 72, 96, 128, 192, 320, 1030, 1088, 2056};
static const std::vector<int64_t> RANKS = {0, 1, 3, 4, 8, 16, 19, 32};

// Numbers with one scale; 1 where each has its own, or a row has one.
static int64_t any_block(int64_t kind) { return kind == NF4 ? 64 : kind == INT4 ? any_of({32, 64, 128}) : 1; }
static int64_t in_blocks(int64_t size, int64_t block) { return (size + block - 1) / block * block; }

static void check_product() {
    const int64_t kind = between(0, 4), block = any_block(kind), pair_kind = kind >= INT8 ? between(0, 1) : kind, rows = between(1, 37);
    const bool round = between(0, 1);  // to what tiles can do
    std::vector<int64_t> widths(between(1, 3));
    for (int64_t& width : widths) width = round ? (any_of(WIDTHS) + 15) / 16 * 16 : any_of(WIDTHS);
    const int64_t in = in_blocks(round ? in_blocks(any_of(INPUTS), 64) : any_of(INPUTS), block);
    const TestMatrix test(kind, block, in, widths, 0, between(0, 1));
    const Matrix& m = test.matrix;
    const std::vector<const Matrix*> matrices = {&m};
    std::vector<TestAdapter> adapters;
    for (int64_t count = between(0, 4); count; count--) adapters.emplace_back(matrices, pair_kind, RANKS);
    const TestProducts made(adapters, rows, in, pair_kind);
    const Numbers x(rows * in, kind == FLOAT32 ? FLOAT32 : BFLOAT16, 1);
    std::vector<float> alone(rows * m.out), together(rows * m.out);
    in_parallel(1, [&](int64_t thread, int64_t threads) {
        multiply(m, made.products, x.floats.data(), alone.data(), rows, thread, threads);
    });
    for (int64_t row = 0; row < rows; row++)
        for (int64_t o = 0; o < m.out; o++) {
            double sum = 0, size = 1e-6;
            for (int64_t i = 0; i < in; i++) {
                const double term = (double)test.weight.floats[o * in + i] * x.floats[row * in + i] * test.scale(o);
                sum += term, size += fabs(term);
            }
            if (m.bias) sum += m.bias[o], size += fabs(m.bias[o]);
            for (const Use& use : made.uses) {
                if (row < use.first || row >= use.first + use.count) continue;
                int64_t part = 0;
                while (o >= m.ends[part + 1]) part++;
                const TestAdapter* adapter = &adapters[&use - made.uses.data()];
                const int64_t rank = adapter->pairs[part].rank, column = o - m.ends[part];
                if (const float* gain = adapter->pairs[part].columns) {
                    const double offset = gain[m.ends[part + 1] - m.ends[part] + column];
                    sum = sum * gain[column] + offset, size = size * fabs(gain[column]) + fabs(offset);
                }
                for (int64_t j = 0; j < rank; j++) {
                    double low = 0, low_size = 0;
                    for (int64_t i = 0; i < in; i++) {
                        const double term = (double)adapter->a[part].floats[j * in + i] * x.floats[row * in + i];
                        low += term, low_size += fabs(term);
                    }
                    const double b = adapter->b[part].floats[(column / 16 * rank + j) * 16 + column % 16] * use.scale;
                    sum += low * b, size += low_size * fabs(b);
                }
            }
            const double got = alone[row * m.out + o];
            const bool is_rounded = has_codes(m) && has_tiles(m, made.products);  // to bfloat16
            if (!(fabs(got - sum) <= (is_rounded ? 4e-3 : kind == INT8 ? 2e-4 : 1e-5) * size)) fail("product", row * m.out + o, got, sum);
        }
    for (int64_t row = 0; row < rows && made.uses.empty(); row++) {
        std::vector<float> one(m.out), same(alone.begin() + row * m.out, alone.begin() + (row + 1) * m.out);
        in_parallel(1, [&](int64_t thread, int64_t threads) {
            multiply(m, made.products, x.floats.data() + row * in, one.data(), 1, thread, threads);
        });
        expect_same("product of a row by itself", one, same);
    }
    for (const int64_t threads : {2, 3, 5, 16}) {
        for (float& value : together) value = NAN;
        in_parallel(threads, [&](int64_t thread, int64_t threads) {
            multiply(m, made.products, x.floats.data(), together.data(), rows, thread, threads);
        });
        expect_same("product with threads", together, alone);
    }
}

// A step of two layers and the head, of rows that decode and rows that do not.
static void check_layers() {
    const int64_t kind = between(0, 4), cache_kind = between(0, 1), block = any_block(kind);
    const int64_t size = in_blocks(any_of({6, 12, 16, 64, 128}), block);
    const int64_t rotary = between(0, 1) ? size : size / 4 * 2;
    const int64_t kv_heads = between(1, 3), heads = kv_heads * between(1, 3), rows = between(1, 21);
    const int64_t hidden = in_blocks(any_of({9, 24, 64, 72, 128}), block);
    const int64_t inner = in_blocks(any_of({7, 40, 64, 88, 130}), block), vocabulary = any_of({33, 64, 130});
    const int64_t cache_rows = 64;
    std::vector<TestMatrix> matrices;
    int64_t first = 0;
    for (int64_t layer = 0; layer < 2; layer++) {
        const std::vector<int64_t> up(layer ? 1 : 2, inner);  // the second layer has no gate
        matrices.emplace_back(kind, block, hidden, std::vector<int64_t>{heads * size, kv_heads * size, kv_heads * size}, first, true);
        matrices.emplace_back(kind, block, heads * size, std::vector<int64_t>{hidden}, first + 3, false);
        matrices.emplace_back(kind, block, hidden, up, first + 4, false);
        first += 4 + (int64_t)up.size();
        matrices.emplace_back(kind, block, inner, std::vector<int64_t>{hidden}, first++, false);
    }
    matrices.emplace_back(kind >= NF4 ? (int64_t)BFLOAT16 : kind, block, hidden, std::vector<int64_t>{vocabulary}, first, false);
    std::vector<const Matrix*> all;
    for (const TestMatrix& test : matrices) all.push_back(&test.matrix);
    std::vector<TestAdapter> adapters;
    for (int64_t count = between(0, 4); count; count--) adapters.emplace_back(all, cache_kind, RANKS);
    const int64_t widest_in = std::max({hidden, heads * size, inner});
    const TestProducts products(adapters, rows, widest_in, cache_kind), last_products({}, rows, widest_in, cache_kind);

    const int64_t cache_size = kv_heads * cache_rows * size;
    const Numbers start(rows * hidden, FLOAT32, 1), norm(hidden, FLOAT32, 1), head_norm(heads * size, FLOAT32, 1);
    const bool outs = between(0, 1), whole = between(0, 1);
    const int64_t activation = between(0, 2), interleaved = between(0, 1);
    const Numbers keys(2 * cache_size, cache_kind, 1), values(2 * cache_size, cache_kind, 1), cos(2 * rows * size, FLOAT32, 1);
    std::vector<int64_t> cache_row(rows), first_row(rows), seen(rows), last;
    for (int64_t row = 0; row < rows; row++) {
        seen[row] = between(0, 3) ? between(1, 3) : 0, first_row[row] = row * 3;
        cache_row[row] = row * 3 + (seen[row] ? seen[row] - 1 : 0);
        if (between(0, 1)) last.push_back(row);
    }
    std::vector<float> alone_hidden, alone_logits;
    for (const int64_t threads : {1, 2, 3, 7, 16}) {
        Numbers k = keys, v = values;
        const size_t wide = rows * std::max({(heads + 2 * kv_heads) * size, 2 * inner, hidden});
        std::vector<float> state = start.floats, normed(rows * widest_in), made(wide), attended(rows * heads * size);
        std::vector<float> scores(threads * heads / kv_heads * cache_rows), logits(last.size() * vocabulary), sin = cos.floats;
        std::vector<float> cosines = cos.floats;
        Step step = {};
        step.rows = rows, step.hidden_size = hidden, step.threads = threads, step.cache_kind = cache_kind;
        step.hidden = state.data(), step.normed = normed.data(), step.wide = made.data(), step.attended = attended.data();
        step.cos = cosines.data(), step.sin = sin.data(), step.rotary_size = rotary;
        step.scores = scores.data(), step.logits = logits.data();
        step.cache_row = cache_row.data(), step.first_row = first_row.data(), step.seen = seen.data();
        step.last_count = (int64_t)last.size(), step.last = last.data();
        step.products = products.products, step.last_products = last_products.products;
        Layer layers[2] = {};
        for (int64_t i = 0; i < 2; i++) {
            Layer& layer = layers[i];
            layer.qkv = matrices[4 * i].matrix, layer.o = matrices[4 * i + 1].matrix;
            layer.gate_up = matrices[4 * i + 2].matrix, layer.down = matrices[4 * i + 3].matrix;
            layer.input_norm = {norm.floats.data(), i ? norm.floats.data() : nullptr, 1e-6, i};
            layer.parallel = !cache_kind;
            if (cache_kind) layer.mlp_norm = layer.input_norm;
            if (outs) layer.attention_out = layer.mlp_out = layer.input_norm;
            if (outs && i) layer.input_norm = layer.mlp_norm = {}, layer.softcap = 5;
            layer.whole_norms = kind && whole && i, layer.rope = i;
            if (kind) layer.q_norm = layer.k_norm = {head_norm.floats.data(), nullptr, 1e-6, 0};
            layer.activation = (activation + i) % 3, layer.interleaved = interleaved, layer.scaling = 0.1, layer.residual = i ? 0.8 : 1, layer.rotates = i, layer.window = i ? 2 : 0;
            layer.heads = heads, layer.kv_heads = kv_heads, layer.head_size = size, layer.cache_rows = cache_rows;
            const size_t offset = i * cache_size * (cache_kind == BFLOAT16 ? 2 : 4);
            layer.keys = (char*)const_cast<void*>(k.data()) + offset, layer.values = (char*)const_cast<void*>(v.data()) + offset;
        }
        remora_layers(layers, 2, &step);
        const Head head = {matrices[8].matrix, {norm.floats.data(), nullptr, 1e-6, 0}};
        if (!last.empty()) remora_head(&head, &step);
        if (threads == 1) alone_hidden = state, alone_logits = logits;
        expect_same("layers with threads", state, alone_hidden);
        expect_same("head with threads", logits, alone_logits);
    }
}

int main(int count, char** arguments) {
    if (count != 3) return 2;
    generator.seed((unsigned)atol(arguments[1]));
    for (long i = 0; i < atol(arguments[2]); i++) check_product(), check_layers();
    printf("%s cases are right\n", arguments[2]);
}
