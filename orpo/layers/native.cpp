// The functions of `kernels.py` and `causal.py` that pass over memory, each in one pass over all
// rows on all threads; `native.py` compiles and loads this file.
//
// A function is called with the number of rows and columns, then the arguments of the Python
// function of that name: a pointer for a tensor (null if it is empty), a float, an integer. Its
// name ends with a letter for each tensor: b for bf16, f for fp32. Sums are fp32 or wider, and
// their order does not depend on the number of threads, so a repeated call gives the same bits.

#include <cstdint>
#include <cstring>

namespace {

struct bf16 {
    uint16_t bits;
};

inline float wide(float value) { return value; }

inline float wide(bf16 value) {
    uint32_t bits = uint32_t(value.bits) << 16;
    float out;
    std::memcpy(&out, &bits, 4);
    return out;
}

inline void put(float& place, float value) { place = value; }

inline void put(bf16& place, float value) {  // to the nearest, ties to even; a NaN stays one
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    uint16_t rounded = uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    place.bits = (bits & 0x7fffffff) > 0x7f800000 ? uint16_t(0x7fc0) : rounded;
}

// e^x within 2 units in the last place, in a form that compilers turn into vector instructions.
// Underflows to 0 below -87.3; infinite above 88.4.
inline float exp_(float x) {
    const float low = -87.3f, high = 88.8f;
    float inside = x < low ? low : x > high ? high : x;
    float power = inside * 1.44269504f + 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
    uint32_t bits;
    std::memcpy(&bits, &power, 4);
    power -= 12582912.0f;
    float rest = inside - power * 0.693359375f + power * 2.12194440e-4f;  // in two parts: ln 2
    float sum = 1.9875691500e-4f;
    sum = sum * rest + 1.3981999507e-3f;
    sum = sum * rest + 8.3334519073e-3f;
    sum = sum * rest + 4.1665795894e-2f;
    sum = sum * rest + 1.6666665459e-1f;
    sum = sum * rest + 5.0000001201e-1f;
    sum = sum * rest * rest + rest + 1.0f;
    bits = (bits + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, 4);
    return x < low ? 0.0f : sum * scale;
}

template <class T>
float largest(const T* row, int64_t from, int64_t to) {
    float most = -__builtin_inff();
#pragma omp simd reduction(max : most)
    for (int64_t i = from; i < to; i++) most = wide(row[i]) > most ? wide(row[i]) : most;
    return most;
}

template <class T>
void normalise(int64_t n, int64_t d, T* out, float* rate, const T* x, const float* scale, float eps) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < n; row++) {
        const T* mine = x + row * d;
        T* to = out + row * d;
        float squares = 0;
#pragma omp simd reduction(+ : squares)
        for (int64_t i = 0; i < d; i++) squares += wide(mine[i]) * wide(mine[i]);
        float each = 1.0f / __builtin_sqrtf(squares / d + eps);
        rate[row] = each;
#pragma omp simd
        for (int64_t i = 0; i < d; i++) put(to[i], wide(mine[i]) * each * scale[i]);
    }
}

template <class T>
void normalise_back(int64_t n, int64_t d, T* out, float* sums, const T* x, const float* rate,
                    const float* scale, const T* grad) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < n; row++) {
        const T *mine = x + row * d, *above = grad + row * d;
        T* to = out + row * d;
        float each = rate[row], along = 0;
#pragma omp simd reduction(+ : along)
        for (int64_t i = 0; i < d; i++) along += wide(above[i]) * scale[i] * wide(mine[i]);
        along = along * each / d;
#pragma omp simd
        for (int64_t i = 0; i < d; i++)
            put(to[i], (wide(above[i]) * scale[i] - wide(mine[i]) * each * along) * each);
    }
    if (!sums) return;
    const int64_t columns = 64;
#pragma omp parallel for schedule(static)
    for (int64_t from = 0; from < d; from += columns) {
        int64_t width = d - from < columns ? d - from : columns;
        double sum[columns] = {};
        for (int64_t row = 0; row < n; row++) {
            const T *mine = x + row * d + from, *above = grad + row * d + from;
#pragma omp simd
            for (int64_t i = 0; i < width; i++) sum[i] += wide(above[i]) * (wide(mine[i]) * rate[row]);
        }
        for (int64_t i = 0; i < width; i++) sums[from + i] += float(sum[i]);
    }
}

template <class T>
void gate_up(int64_t n, int64_t d, T* out, const T* gate, const T* up) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n * d; i++) {
        float wide_gate = wide(gate[i]);
        put(out[i], wide_gate / (1 + exp_(-wide_gate)) * wide(up[i]));
    }
}

template <class T>
void gate_up_back(int64_t n, int64_t d, T* of_gate, T* of_up, const T* gate, const T* up,
                  const T* grad) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n * d; i++) {
        float wide_gate = wide(gate[i]), part = wide(grad[i]);
        float share = 1 / (1 + exp_(-wide_gate));
        put(of_up[i], part * wide_gate * share);
        put(of_gate[i], part * wide(up[i]) * share * (1 + wide_gate * (1 - share)));
    }
}

template <class T>
void log_sum_exp(int64_t n, int64_t d, const T* logits, float* out) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < n; row++) {
        const T* mine = logits + row * d;
        float most = largest(mine, 0, d), sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < d; i++) sum += exp_(wide(mine[i]) - most);
        out[row] = most + __builtin_logf(sum);
    }
}

template <class T>
void softmax_back(int64_t n, int64_t d, T* logits, const float* whole, const float* grad) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < n; row++) {
        T* mine = logits + row * d;
        float all = whole[row], above = -grad[row];
#pragma omp simd
        for (int64_t i = 0; i < d; i++) put(mine[i], exp_(wide(mine[i]) - all) * above);
    }
}

// The keys that a row of a block of `rows` queries sees: the last row sees all `d` keys, or the
// last `window` of them.
inline void seen(int64_t row, int64_t d, int64_t rows, int64_t window, int64_t& from, int64_t& to) {
    to = d - (rows - 1 - row % rows);
    from = to > window ? to - window : 0;
}

template <class T>
void hide(T* row, int64_t d, int64_t from, int64_t to) {
    std::memset(row, 0, from * sizeof(T));
    std::memset(row + to, 0, (d - to) * sizeof(T));
}

template <class T>
void shares(int64_t n, int64_t d, T* scores, float* whole, float scaling, int64_t rows,
            int64_t window) {
#pragma omp parallel
    {
        float* kept = new float[d];  // of one row, so that each exp is computed once
#pragma omp for schedule(static)
        for (int64_t row = 0; row < n; row++) {
            T* mine = scores + row * d;
            int64_t from, to;
            seen(row, d, rows, window, from, to);
            float most = largest(mine, from, to), sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t i = from; i < to; i++) {
                kept[i] = exp_((wide(mine[i]) - most) * scaling);
                sum += kept[i];
            }
            whole[row] = most * scaling + __builtin_logf(sum);
            float share = 1 / sum;
#pragma omp simd
            for (int64_t i = from; i < to; i++) put(mine[i], kept[i] * share);
            hide(mine, d, from, to);
        }
        delete[] kept;
    }
}

template <class T>
void shares_back(int64_t n, int64_t d, T* scores, T* slopes, const float* whole, const float* along,
                 float scaling, int64_t rows, int64_t window) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < n; row++) {
        T *mine = scores + row * d, *slope = slopes + row * d;
        int64_t from, to;
        seen(row, d, rows, window, from, to);
#pragma omp simd
        for (int64_t i = from; i < to; i++) {
            float share = exp_(wide(mine[i]) * scaling - whole[row]);
            put(mine[i], share);
            put(slope[i], share * (wide(slope[i]) - along[row]) * scaling);
        }
        hide(mine, d, from, to);
        hide(slope, d, from, to);
    }
}

template <class T>
void add_wide(int64_t n, int64_t d, float* sum, const T* part) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n * d; i++) sum[i] += wide(part[i]);
}

struct Entry {
    const char* name;
    void* function;
};

#define BOTH(name, in_bf16, in_fp32) \
    {#name "_" #in_bf16, (void*)name<bf16>}, {#name "_" #in_fp32, (void*)name<float>}

const Entry ENTRIES[] = {
    BOTH(normalise, bfbf, ffff),
    BOTH(normalise_back, bfbffb, ffffff),
    BOTH(gate_up, bbb, fff),
    BOTH(gate_up_back, bbbbb, fffff),
    BOTH(log_sum_exp, bf, ff),
    BOTH(softmax_back, bff, fff),
    BOTH(shares, bf, ff),
    BOTH(shares_back, bbff, ffff),
    BOTH(add_wide, fb, ff),
};

}  // namespace

// The function of this name, or null.
extern "C" void* find(const char* name) {
    for (const Entry& each : ENTRIES)
        if (!std::strcmp(each.name, name)) return each.function;
    return nullptr;
}
