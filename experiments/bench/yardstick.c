/* What the machine allows: the same steps as the fast tier, written for one method on one problem at a time.

   Unified SAM with constant gamma, rho and lam; the random draws of the engine (splitmix64, stateless); f - f* recorded
   at 0, every, 2 every, ...; eight replicates in lockstep, the update of one step and the dot product of the next in one
   pass. x (R, d), gaps (R, steps/every + 1), keys (R). */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline uint64_t mix(uint64_t w)
{
    w = (w ^ (w >> 30)) * 0xBF58476D1CE4E5B9ULL;
    w = (w ^ (w >> 27)) * 0x94D049BB133111EBULL;
    return w ^ (w >> 31);
}

static inline double uniform(uint64_t key, int64_t t, int64_t k)
{
    uint64_t w = mix(mix(key + (uint64_t)t * 0x9E3779B97F4A7C15ULL) + (uint64_t)k * 0xA0761D6478BD642FULL);
    return (double)(w >> 11) * 1.1102230246251565e-16;
}

static inline double dot(const double *restrict a, const double *restrict x, int64_t d)
{
    double s = 0;
    for (int64_t j = 0; j < d; j++) s += a[j] * x[j];
    return s;
}

static double *room(int64_t size)
{
    double *p = aligned_alloc(64, (size_t)((size + 7) / 8 * 8) * sizeof(double));
    memset(p, 0, (size_t)size * sizeof(double));
    return p;
}

/* f - f* of least squares (labels 0) or of the logistic loss, u = x - x*, z the margins at x*. */
static double gap_of(const double *A, const double *b, const double *margins, double least, const double *best, double reg,
                     const double *x, double *u, double *dots, int64_t n, int64_t d, int labels)
{
    double size = 0, total = 0;
    for (int64_t j = 0; j < d; j++) { u[j] = x[j] - best[j]; size += u[j] * u[j]; }
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const double *restrict r0 = A + i * d, *restrict r1 = r0 + d, *restrict r2 = r1 + d, *restrict r3 = r2 + d;
        double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (int64_t j = 0; j < d; j++) { double v = u[j]; s0 += r0[j] * v; s1 += r1[j] * v; s2 += r2[j] * v; s3 += r3[j] * v; }
        dots[i] = s0; dots[i + 1] = s1; dots[i + 2] = s2; dots[i + 3] = s3;
    }
    for (; i < n; i++) dots[i] = dot(A + i * d, u, d);
    if (!labels) {
        for (i = 0; i < n; i++) total += dots[i] * dots[i];
        return 0.5 * (total / n + reg * size);
    }
    /* As simply as it can be had: the loss less its least value (cancels near the minimiser). */
    for (i = 0; i < n; i++) total += log(1 + exp(-(margins[i] + b[i] * dots[i])));
    double size_x = dot(x, x, d);
    return total / n + 0.5 * reg * size_x - least;
}

#define LANES 8

void linear_model(const double *A, const double *b, const double *square, const double *best, const double *margins,
                  double least, int64_t n, int64_t d, double reg, double *x, int64_t R, const uint64_t *keys, double gamma,
                  double rho, double lam, int64_t steps, int64_t every, double *gaps, int labels)
{
    int64_t records = steps / every + 1, stride = (d + 7) / 8 * 8;
    double *block = room(LANES * stride), *u = room(d), *dots = room(n);
    for (int64_t base = 0; base < R; base += LANES) {
        int L = R - base < LANES ? (int)(R - base) : LANES;
        int64_t row[LANES] = {0};
        double z[LANES] = {0}, a2[LANES] = {0}, target[LANES] = {0}, x2[LANES] = {0}, C[LANES], E[LANES];
        for (int l = 0; l < L; l++) memcpy(block + l * stride, x + (base + l) * d, (size_t)d * sizeof(double));
        for (int64_t t = 0; t <= steps; t++) {
            if (t % every == 0) {
                if (t > 0)
                    for (int l = 0; l < L; l++) {
                        double *restrict v = block + l * stride;
                        const double *restrict a = A + row[l] * d;
                        for (int64_t j = 0; j < d; j++) v[j] = C[l] * v[j] + E[l] * a[j];
                    }
                for (int l = 0; l < LANES; l++) { C[l] = 1; E[l] = 0; }
                for (int l = 0; l < L; l++)
                    gaps[(base + l) * records + t / every] =
                        gap_of(A, b, margins, least, best, reg, block + l * stride, u, dots, n, d, labels);
                if (t == steps) break;
            }
            for (int l = 0; l < L; l++) {
                double *restrict v = block + l * stride;
                const double *restrict a = A + row[l] * d;
                int64_t next = (int64_t)(uniform(keys[base + l], t, 0) * n);
                const double *restrict fresh = A + next * d;
                double c = C[l], e = E[l], s = 0;
                for (int64_t j = 0; j < d; j++) { double w = c * v[j] + e * a[j]; v[j] = w; s += w * fresh[j]; }
                z[l] = s; row[l] = next; a2[l] = square[next]; target[l] = b[next];
            }
            if ((t & 63) == 0)
                for (int l = 0; l < L; l++) x2[l] = dot(block + l * stride, block + l * stride, d);
            if (labels)
                for (int l = 0; l < LANES; l++) {
                    double p = -target[l] / (1 + exp(target[l] * z[l]));
                    double norm2 = p * p * a2[l] + 2 * p * reg * z[l] + reg * reg * x2[l];
                    double s = norm2 > 0 ? rho * ((1 - lam) + lam / sqrt(norm2)) : 0;
                    double q = -target[l] / (1 + exp(target[l] * (z[l] + s * (p * a2[l] + reg * z[l]))));
                    double c = 1 - gamma * reg * (1 + s * reg), e = -gamma * (q + reg * s * p);
                    x2[l] = c * c * x2[l] + 2 * c * e * z[l] + e * e * a2[l];
                    C[l] = c; E[l] = e;
                }
            else
                for (int l = 0; l < LANES; l++) {
                    double p = z[l] - target[l];
                    double norm2 = p * p * a2[l] + 2 * p * reg * z[l] + reg * reg * x2[l];
                    double s = norm2 > 0 ? rho * ((1 - lam) + lam / sqrt(norm2)) : 0;
                    double q = z[l] + s * (p * a2[l] + reg * z[l]) - target[l];
                    double c = 1 - gamma * reg * (1 + s * reg), e = -gamma * (q + reg * s * p);
                    x2[l] = c * c * x2[l] + 2 * c * e * z[l] + e * e * a2[l];
                    C[l] = c; E[l] = e;
                }
        }
        for (int l = 0; l < L; l++) memcpy(x + (base + l) * d, block + l * stride, (size_t)d * sizeof(double));
    }
    free(block); free(u); free(dots);
}

/* tau distinct components a step (Floyd's draws, as the engine's), four rows a pass. */
void minibatch(const double *A, const double *b, const double *best, const double *margins, double least, int64_t n,
               int64_t d, double reg, double *x, int64_t R, const uint64_t *keys, int64_t tau, double gamma, double rho,
               double lam, int64_t steps, int64_t every, double *gaps, int64_t *marks)
{
    int64_t records = steps / every + 1;
    double *g = room(d), *y = room(d), *u = room(d), *dots = room(n), *share = room(tau), *target = room(tau);
    int64_t *row = malloc((size_t)tau * sizeof(int64_t));
    for (int64_t r = 0; r < R; r++) {
        double *restrict v = x + r * d;
        for (int64_t i = 0; i < n; i++) marks[i] = 0;
        for (int64_t t = 0; t <= steps; t++) {
            if (t % every == 0)
                gaps[r * records + t / every] = gap_of(A, b, margins, least, best, reg, v, u, dots, n, d, 1);
            if (t == steps) break;
            for (int64_t k = 0; k < tau; k++) {
                int64_t top = n - tau + k, i = (int64_t)(uniform(keys[r], t, k) * (top + 1));
                if (marks[i] == t + 1) i = top;
                marks[i] = t + 1;
                row[k] = i;
                target[k] = b[i];
            }
            const double *restrict point = v;
            double s = 0;
            for (int pass = 0; pass < 2; pass++) {
                int64_t k = 0;
                for (; k + 4 <= tau; k += 4) {
                    const double *restrict r0 = A + row[k] * d, *restrict r1 = A + row[k + 1] * d;
                    const double *restrict r2 = A + row[k + 2] * d, *restrict r3 = A + row[k + 3] * d;
                    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
                    for (int64_t j = 0; j < d; j++) {
                        double w = point[j];
                        s0 += r0[j] * w; s1 += r1[j] * w; s2 += r2[j] * w; s3 += r3[j] * w;
                    }
                    share[k] = s0; share[k + 1] = s1; share[k + 2] = s2; share[k + 3] = s3;
                }
                for (; k < tau; k++) share[k] = dot(A + row[k] * d, point, d);
                for (k = 0; k < tau; k++) share[k] = -target[k] / (tau * (1 + exp(target[k] * share[k])));
                for (int64_t j = 0; j < d; j++) g[j] = reg * point[j];
                for (k = 0; k + 4 <= tau; k += 4) {
                    const double *restrict r0 = A + row[k] * d, *restrict r1 = A + row[k + 1] * d;
                    const double *restrict r2 = A + row[k + 2] * d, *restrict r3 = A + row[k + 3] * d;
                    double c0 = share[k], c1 = share[k + 1], c2 = share[k + 2], c3 = share[k + 3];
                    for (int64_t j = 0; j < d; j++) g[j] += c0 * r0[j] + c1 * r1[j] + c2 * r2[j] + c3 * r3[j];
                }
                for (; k < tau; k++)
                    for (int64_t j = 0; j < d; j++) g[j] += share[k] * A[row[k] * d + j];
                if (pass == 0) {
                    double norm2 = dot(g, g, d);
                    s = norm2 > 0 ? rho * ((1 - lam) + lam / sqrt(norm2)) : 0;
                    for (int64_t j = 0; j < d; j++) y[j] = v[j] + s * g[j];
                    point = y;
                }
            }
            for (int64_t j = 0; j < d; j++) v[j] -= gamma * g[j];
        }
    }
    free(g); free(y); free(u); free(dots); free(share); free(target); free(row);
}

/* Ridge regression in Gram space: z = A x, G = A A', x0 = 0. alpha (R, n): x = A' alpha. */
void gram(const double *G, const double *b, const double *best_z, const double *best_alpha, int64_t n, double reg, double *z,
          double *alpha, int64_t R, const uint64_t *keys, double gamma, double rho, double lam, int64_t steps, int64_t every,
          double *gaps)
{
    int64_t records = steps / every + 1;
    for (int64_t base = 0; base < R; base += LANES) {
        int L = R - base < LANES ? (int)(R - base) : LANES;
        int64_t row[LANES] = {0};
        double dots[LANES] = {0}, a2[LANES] = {0}, target[LANES] = {0}, x2[LANES] = {0}, C[LANES], E[LANES], scale[LANES];
        for (int l = 0; l < LANES; l++) { C[l] = 1; E[l] = 0; scale[l] = 1; }
        for (int64_t t = 0; t <= steps; t++) {
            for (int l = 0; l < L; l++) {
                double *restrict v = z + (base + l) * n;
                const double *restrict a = G + row[l] * n;
                double c = C[l], e = E[l];
                for (int64_t i = 0; i < n; i++) v[i] = c * v[i] + e * a[i];
                int64_t next = (int64_t)(uniform(keys[base + l], t, 0) * n);
                row[l] = next; dots[l] = v[next]; a2[l] = G[next * n + next]; target[l] = b[next];
            }
            if (t % every == 0)
                for (int l = 0; l < L; l++) {
                    const double *restrict v = z + (base + l) * n, *restrict w = alpha + (base + l) * n;
                    double total = 0, size = 0;
                    for (int64_t i = 0; i < n; i++) {
                        double off = v[i] - best_z[i];
                        total += off * off;
                        size += (scale[l] * w[i] - best_alpha[i]) * off;
                    }
                    gaps[(base + l) * records + t / every] = 0.5 * (total / n + reg * size);
                }
            if (t == steps) break;
            if ((t & 63) == 0)
                for (int l = 0; l < L; l++) x2[l] = scale[l] * dot(alpha + (base + l) * n, z + (base + l) * n, n);
            double push[LANES];
            for (int l = 0; l < LANES; l++) {
                double p = dots[l] - target[l];
                double norm2 = p * p * a2[l] + 2 * p * reg * dots[l] + reg * reg * x2[l];
                double s = norm2 > 0 ? rho * ((1 - lam) + lam / sqrt(norm2)) : 0;
                double q = dots[l] + s * (p * a2[l] + reg * dots[l]) - target[l];
                double c = 1 - gamma * reg * (1 + s * reg), e = -gamma * (q + reg * s * p);
                x2[l] = c * c * x2[l] + 2 * c * e * dots[l] + e * e * a2[l];
                C[l] = c; E[l] = e;
                scale[l] *= c;
                push[l] = e / scale[l];
            }
            for (int l = 0; l < L; l++) alpha[(base + l) * n + row[l]] += push[l];
        }
        for (int l = 0; l < L; l++)
            for (int64_t i = 0; i < n; i++) alpha[(base + l) * n + i] *= scale[l];
    }
}

/* One deterministic quadratic about its minimiser, as on paper: two products with H (d, d) a step. */
void dense(const double *H, int64_t d, double *x, double gamma, double rho, double lam, int64_t steps)
{
    double *g = room(d), *y = room(d);
    for (int64_t t = 0; t < steps; t++) {
        double norm2 = 0;
        for (int64_t i = 0; i < d; i++) { g[i] = dot(H + i * d, x, d); norm2 += g[i] * g[i]; }
        double s = norm2 > 0 ? rho * ((1 - lam) + lam / sqrt(norm2)) : 0;
        for (int64_t i = 0; i < d; i++) y[i] = x[i] + s * g[i];
        for (int64_t i = 0; i < d; i++) g[i] = dot(H + i * d, y, d);
        for (int64_t i = 0; i < d; i++) x[i] -= gamma * g[i];
    }
    free(g); free(y);
}

/* The same in the eigenbasis; components that were not zero stay at least 1e-150 away from it. */
void eigenbasis(const double *restrict h, int64_t d, double *restrict x, double gamma, double rho, double lam, int64_t steps)
{
    double norm2 = 0;
    for (int64_t j = 0; j < d; j++) norm2 += h[j] * x[j] * h[j] * x[j];
    for (int64_t t = 0; t < steps; t++) {
        double s = norm2 > 0 ? rho * ((1 - lam) + lam / sqrt(norm2)) : 0, total = 0;
        for (int64_t j = 0; j < d; j++) {
            double v = x[j] * (1 - gamma * h[j] * (1 + s * h[j]));
            v = fabs(v) < 1e-150 && v != 0 ? copysign(1e-150, v) : v;
            x[j] = v;
            total += h[j] * v * h[j] * v;
        }
        norm2 = total;
    }
}

/* R starts side by side, 32 at a time on the contiguous axis. x (R, d). */
void side_by_side(const double *restrict h, int64_t d, double *x, int64_t R, double gamma, double rho, double lam,
                  int64_t steps)
{
    enum { W = 32 };
    double *restrict block = room(d * W);
    for (int64_t base = 0; base < R; base += W) {
        int64_t L = R - base < W ? R - base : W;
        double norm2[W] = {0}, s[W];
        for (int64_t j = 0; j < d; j++)
            for (int64_t l = 0; l < W; l++) {
                double v = l < L ? x[(base + l) * d + j] : 0;
                block[j * W + l] = v;
                norm2[l] += h[j] * v * h[j] * v;
            }
        for (int64_t t = 0; t < steps; t++) {
            double total[W] = {0};
            for (int l = 0; l < W; l++) s[l] = norm2[l] > 0 ? rho * ((1 - lam) + lam / sqrt(norm2[l])) : 0;
            for (int64_t j = 0; j < d; j++) {
                double c = h[j], pull = gamma * c;
                for (int l = 0; l < W; l++) {
                    double v = block[j * W + l] * (1 - pull * (1 + s[l] * c));
                    v = fabs(v) < 1e-150 && v != 0 ? copysign(1e-150, v) : v;
                    block[j * W + l] = v;
                    total[l] += c * v * c * v;
                }
            }
            memcpy(norm2, total, sizeof total);
        }
        for (int64_t j = 0; j < d; j++)
            for (int64_t l = 0; l < L; l++) x[(base + l) * d + j] = block[j * W + l];
    }
    free(block);
}

/* -- rooflines -- */

/* Enough accumulators to hide the latency of two units, few enough to stay in registers: 12 vectors of the widest kind. */
#ifdef __AVX512F__
#define ACCUMULATORS 96
#else
#define ACCUMULATORS 48
#endif

/* steps x 960 fused multiply-adds on registers. */
double multiply_add(int64_t steps)
{
    double a[ACCUMULATORS];
    for (int i = 0; i < ACCUMULATORS; i++) a[i] = i * 1e-3;
    for (int64_t t = 0; t < steps * (960 / ACCUMULATORS); t++)
        for (int i = 0; i < ACCUMULATORS; i++) a[i] = a[i] * 0.999 + 0.001;
    double s = 0;
    for (int i = 0; i < ACCUMULATORS; i++) s += a[i];
    return s;
}

/* Sum size numbers, a multiple of 64, again and again, with as many partial sums as keep the adders out of the way. */
double read_memory(const double *restrict a, int64_t size, int64_t times)
{
    enum { SUMS = 64 };
    double part[SUMS] = {0};
    for (int64_t t = 0; t < times; t++) {
        for (int64_t j = 0; j < size; j += SUMS)
            for (int l = 0; l < SUMS; l++) part[l] += a[j + l];
        __asm__ volatile("" : : "r"(a) : "memory");
    }
    double s = 0;
    for (int l = 0; l < SUMS; l++) s += part[l];
    return s;
}
