/* lstm_backward.cu - an LSTM backward: one step, and ahead of all of them the c of every step; formulas in
 * kernels_training.h.
 *
 * gates and dgates (R, 4H), the others rows of H floats. Forward keeps no c: a few operations per unit make it again,
 * and so forward's own kernels are those of inference. Called by host/cuda/training_cells.c, per step
 *
 *   lstm_backward        one thread for one unit of one row; PLAIN: tanh, sigmoid and no option
 *   lstm_backward_norm   with layer_norm: one block for each row, for the sums over a row of c'
 *
 * and per run of steps with equal rows lstm_replay, one thread for one unit of one row. By the counts of tests/simt a
 * unit and step takes, when plain, 388 instructions, 52 bytes in and 20 out, and in lstm_replay 119, 24 and 4. */
#include "backward.cuh"
#include "functions_backward.cuh"
#include "reduce.cuh"

/* ---- One unit once more ------------------------------------------------------------------------------------------ */

template <bool PLAIN>
__device__ inline float sum_of(const rondo_lstm_sums &s, int64_t r, int l, int j) {
  const int H = s.hidden_size, k = l * H + j;
  float v = s.gates[r * 4 * H + k];
  if (!PLAIN && s.recurrent) v = fmaf(v, s.gamma_kernel[k], s.recurrent[r * 4 * H + k] * s.gamma_recurrent[k]);
  return s.bias ? v + s.bias[k] : v;
}

template <bool PLAIN>
__device__ inline Dual recurrent_gate(const rondo_lstm_sums &s, float v) {
  return gate < PLAIN ? RONDO_SIGMOID : RONDO_DEFAULT > (s.options.recurrent_activation, s.options.clip, v);
}

/* The sums of i, f and g, ahead of what c adds to them. */
struct Sums {
  float i, f, g;
};

template <bool PLAIN>
__device__ inline Sums sums_of(const rondo_lstm_sums &s, int64_t r, int j) {
  return {sum_of<PLAIN>(s, r, 0, j), sum_of<PLAIN>(s, r, 1, j), sum_of<PLAIN>(s, r, 2, j)};
}

/* i, f, g and c' of unit j; held: by cell_clip. */
struct Unit {
  Dual i, f, g;
  float fresh;
  bool held;
};

template <bool PLAIN>
__device__ inline Unit unit_of(const rondo_lstm_sums &s, Sums v, int j, float old) {
  const rondo_cell_options &k = s.options;
  if (!PLAIN && s.peephole) {
    v.i = fmaf(s.peephole[j], old, v.i);
    v.f = fmaf(s.peephole[s.hidden_size + j], old, v.f);
  }
  Unit u;
  u.i = recurrent_gate<PLAIN>(s, v.i);
  u.f = !PLAIN && k.input_forget ? Dual{1 - u.i.value, 0} : recurrent_gate<PLAIN>(s, v.f);
  u.g = gate < PLAIN ? RONDO_TANH : RONDO_DEFAULT > (k.activation, k.clip, v.g);
  u.fresh = fmaf(u.f.value, old, u.i.value * u.g.value);
  u.held = !PLAIN && k.cell_clip > 0 && !(fabsf(u.fresh) < k.cell_clip);
  if (!PLAIN) u.fresh = clip(u.fresh, k.cell_clip);
  return u;
}

template <bool PLAIN>
__device__ inline Dual output_gate(const rondo_lstm_sums &s, int64_t r, int j, float fresh) {
  float v = sum_of<PLAIN>(s, r, 3, j);
  if (!PLAIN && s.peephole) v = fmaf(s.peephole[2 * s.hidden_size + j], fresh, v);
  return recurrent_gate<PLAIN>(s, v);
}

/* ---- lstm_replay ------------------------------------------------------------------------------------------------- */

/* Only c must wait for the step before, so the sums of some steps are asked for together. */
enum { AHEAD = 4 };

template <bool PLAIN>
__global__ void __launch_bounds__(BLOCK) lstm_replay(const rondo_lstm_replay_forward_args args) {
  const int H = args.sums.hidden_size, R = args.step.rows, j = column_index();
  const int64_t r = row_index();
  if (r >= R || j >= H) return;
  const int64_t state = args.step.row ? args.step.row[r].state : r;
  float c = args.step.step ? args.c[r * H + j] : load_row<1>(args.c_0, state, j, state < 0).at[0];
  for (int start = 0; start < args.steps; start += AHEAD) {
    Sums sums[AHEAD];
#pragma unroll
    for (int k = 0; k < AHEAD; k++)
      if (start + k < args.steps) sums[k] = sums_of<PLAIN>(args.sums, (int64_t)(start + k) * R + r, j);
#pragma unroll
    for (int k = 0; k < AHEAD; k++) {
      if (start + k >= args.steps) break;
      const int64_t at = ((int64_t)(start + k) * R + r) * H + j;
      const float fresh = unit_of<PLAIN>(args.sums, sums[k], j, c).fresh;
      args.old[at] = c;
      if (args.fresh) args.fresh[at] = fresh;
      c = PLAIN ? fresh : zone_out(args.sums.options.zoneout_cell, c, fresh);
    }
  }
  args.c[r * H + j] = c;
}

/* ---- lstm_backward ----------------------------------------------------------------------------------------------- */

/* From dh: by v_o, and by u, the argument of q. */
struct Top {
  float o, u;
};

template <bool PLAIN>
__device__ inline Top top_of(const rondo_lstm_cell_backward_args &args, const Place &at, int64_t r, int j, float fresh,
                             float inside) {
  const int H = args.sums.hidden_size;
  const rondo_cell_options &k = args.sums.options;
  float dh = args.dhidden ? args.dhidden[r * H + j] : gradient_by_h(args.output, args.step, at, r, j, H);
  if (!PLAIN && !args.dhidden && k.zoneout > 0) {
    args.output.dh[r * H + j] = k.zoneout * dh;
    dh *= 1 - k.zoneout;
  }
  const Dual o = output_gate<PLAIN>(args.sums, r, j, fresh);
  const Dual q = gate < PLAIN ? RONDO_TANH : RONDO_DEFAULT > (k.output_activation, 0, inside);
  return {dh * q.value * o.slope, dh * o.value * q.slope};
}

/* The rest of unit j. dcell: what comes to c' from h alone. */
template <bool PLAIN>
__device__ inline void finish_unit(const rondo_lstm_cell_backward_args &args, const Place &at, int64_t r, int j,
                                   const Unit &u, float dv_o, float dcell) {
  const int H = args.sums.hidden_size;
  const rondo_cell_options &k = args.sums.options;
  const float *p = PLAIN ? nullptr : args.sums.peephole;
  const float old = args.old[r * H + j];
  float dc = at.ends ? load_row<1>(args.dc_n, at.state, j).at[0] : args.dc[r * H + j], straight = 0;
  if (!PLAIN && k.zoneout_cell > 0) {
    straight = k.zoneout_cell * dc;
    dc *= 1 - k.zoneout_cell;
  }
  dc += dcell;
  if (p) dc = fmaf(p[2 * H + j], dv_o, dc);
  if (u.held) dc = 0;
  const bool coupled = !PLAIN && k.input_forget;
  const float dv_i = dc * (coupled ? u.g.value - old : u.g.value) * u.i.slope;
  const float dv_f = dc * old * u.f.slope;
  straight = fmaf(dc, u.f.value, straight);
  if (p) straight = fmaf(p[j], dv_i, fmaf(p[H + j], dv_f, straight));
  args.dc[r * H + j] = straight;
  float *dgates = args.dgates + r * 4 * H + j;
  dgates[0] = dv_i;
  dgates[H] = dv_f;
  dgates[2 * H] = dc * u.i.value * u.g.slope;
  dgates[3 * H] = dv_o;
}

template <bool PLAIN>
__global__ void __launch_bounds__(BLOCK) lstm_backward(const rondo_lstm_cell_backward_args args) {
  const int H = args.sums.hidden_size, j = column_index();
  const int64_t r = row_index();
  if (r >= args.step.rows || j >= H) return;
  const Place at = place(args.step, r);
  const Unit u = unit_of<PLAIN>(args.sums, sums_of<PLAIN>(args.sums, r, j), j, args.old[r * H + j]);
  const Top top = top_of<PLAIN>(args, at, r, j, u.fresh, u.fresh);
  finish_unit<PLAIN>(args, at, r, j, u, top.o, top.u);
}

/* Between the two passes over the row dv_o waits in its place of dgates, one thread's own alone. */
__global__ void __launch_bounds__(WIDE_BLOCK) lstm_backward_norm(const rondo_lstm_cell_backward_args args) {
  const int H = args.sums.hidden_size;
  const int64_t r = blockIdx.x;
  const Place at = place(args.step, r);
  const float *normal = args.normal + r * H;
  float *du = args.du + r * H, *dv_o = args.dgates + (r * 4 + 3) * H;
  float2 sum = make_float2(0, 0);
  for (int j = (int)threadIdx.x; j < H; j += WIDE_BLOCK) {
    const Unit u = unit_of<false>(args.sums, sums_of<false>(args.sums, r, j), j, args.old[r * H + j]);
    const Top top = top_of<false>(args, at, r, j, u.fresh, fmaf(normal[j], args.gamma_cell[j], args.beta_cell[j]));
    du[j] = top.u;
    dv_o[j] = top.o;
    const float g = top.u * args.gamma_cell[j];
    sum = Add()(sum, make_float2(g, g * normal[j]));
  }
  sum = block_reduce<WIDE_BLOCK>(sum, Add());
  for (int j = (int)threadIdx.x; j < H; j += WIDE_BLOCK) {
    const Unit u = unit_of<false>(args.sums, sums_of<false>(args.sums, r, j), j, args.old[r * H + j]);
    const float centred = fmaf(du[j], args.gamma_cell[j], -sum.x / H);
    finish_unit<false>(args, at, r, j, u, dv_o[j], args.scale[r] * fmaf(-normal[j], sum.y / H, centred));
  }
}

/* ---- Launch ------------------------------------------------------------------------------------------------------ */

static bool is_plain(const rondo_lstm_sums *s) {
  const rondo_cell_options *k = &s->options;
  return k->activation.kind == RONDO_TANH && k->recurrent_activation.kind == RONDO_SIGMOID &&
         k->output_activation.kind == RONDO_TANH && !(k->clip > 0 || k->cell_clip > 0 || k->zoneout > 0) &&
         !(k->zoneout_cell > 0 || k->input_forget || s->peephole || s->recurrent);
}

extern "C" int rondo_lstm_replay_forward_cuda(const rondo_lstm_replay_forward_args *args, cudaStream_t stream) {
  const Shape one = shape(args->step.rows, args->sums.hidden_size);
  return enqueue(is_plain(&args->sums) ? lstm_replay<true> : lstm_replay<false>, one.grid, one.block, args, stream);
}

extern "C" int rondo_lstm_replay_forward_load_cuda(void) {
  return load_code(lstm_replay<true>, lstm_replay<false>);
}

extern "C" int rondo_lstm_cell_backward_cuda(const rondo_lstm_cell_backward_args *args, cudaStream_t stream) {
  const Shape one = shape(args->step.rows, args->sums.hidden_size);
  if (args->normal) return enqueue(lstm_backward_norm, dim3((unsigned)args->step.rows), dim3(WIDE_BLOCK), args, stream);
  return enqueue(is_plain(&args->sums) ? lstm_backward<true> : lstm_backward<false>, one.grid, one.block, args, stream);
}

extern "C" int rondo_lstm_cell_backward_load_cuda(void) {
  return load_code(lstm_backward<true>, lstm_backward<false>, lstm_backward_norm);
}
