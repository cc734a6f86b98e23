/* rows.c - where the rows of a call are: tables of pointers, so that kernels take rows together wherever they lie. */
#include "cpu/cpu.h"

#include <string.h>

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

static rondo_cpu_chunk chunk_from(const rondo_cpu_call *call, int first, int turn) {
  const rondo_schedule *schedule = &call->schedule;
  rondo_cpu_chunk chunk = {.first = first, .turn = turn};
  for (int step = first; step < schedule->steps; step++) {
    int active = rondo_schedule_active(schedule, step);
    if ((size_t)chunk.rows + (size_t)active > call->ws.rows) break;
    chunk.rows += active;
    chunk.steps++;
  }
  return chunk;
}

rondo_cpu_chunk rondo_cpu_first_chunk(const rondo_cpu_call *call) {
  return chunk_from(call, 0, 0);
}

rondo_cpu_chunk rondo_cpu_next_chunk(const rondo_cpu_call *call, const rondo_cpu_chunk *chunk) {
  return chunk_from(call, chunk->first + chunk->steps, 1 - chunk->turn);
}

void rondo_cpu_make_words(const rondo_cpu_call *call, const float *from, size_t count, rondo_cpu_range columns,
                          uint32_t *to) {
  size_t group = (size_t)call->layout.group, end = (size_t)(columns.begin + columns.count);
  call->words(columns.count, from + columns.begin, to + (size_t)columns.begin / group);
  if (end < count) return;
  size_t words = (count + group - 1) / group, filled = rondo_cpu_filled(call->layout.fill, count) / group;
  memset(to + words, 0, (filled - words) * sizeof *to);
}

/* Row `row` of the chunk, which is row r of a step. */
static void find_row(const rondo_cpu_call *call, int turn, int row, int step, int r) {
  const rondo_pass *pass = call->pass;
  const rondo_cpu_workspace *ws = &call->ws;
  int n = rondo_schedule_row(&call->schedule, r), p = rondo_schedule_position(&call->schedule, n, step);
  const float *x = pass->x + n * pass->x_sequence + p * pass->x_timestep;
  ws->x[turn][row] = x;
  if (pass->y) ws->y[turn][row] = pass->y + n * pass->y_sequence + p * pass->y_timestep;
  rondo_cpu_range all = {0, (int)call->layout.inputs};
  if (call->words)
    rondo_cpu_make_words(call, x, call->layout.inputs, all, ws->x_words[turn] + (size_t)row * ws->x_words_row);
}

void rondo_cpu_find_chunk(const rondo_cpu_call *call, const rondo_cpu_chunk *chunk, int part, int parts) {
  rondo_cpu_range own = rondo_cpu_share((size_t)chunk->rows, part, parts);
  for (int step = chunk->first, before = 0; step < chunk->first + chunk->steps; step++) {
    int active = rondo_schedule_active(&call->schedule, step);
    int begin = own.begin > before ? own.begin - before : 0, end = own.begin + own.count - before;
    for (int r = begin; r < active && r < end; r++) find_row(call, chunk->turn, before + r, step, r);
    before += active;
  }
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

/* The row of sequence n in a state. */
static ptrdiff_t state_row(const rondo_pass *pass, int n) {
  return pass->slots ? pass->slots[n] : n;
}

void rondo_cpu_share_h(const rondo_cpu_call *call, int step, rondo_cpu_range rows, rondo_cpu_range columns) {
  const rondo_cpu_workspace *ws = &call->ws;
  if (!call->words || ws->h_words_thread) return;
  float *const *h = rondo_cpu_h_out(call, step);
  uint32_t *words = ws->h_words[(step + 1) % 2];
  for (int r = rows.begin; r < rows.begin + rows.count; r++)
    rondo_cpu_make_words(call, h[r], call->layout.outputs, columns, words + (size_t)r * ws->h_words_row);
}

const uint32_t *rondo_cpu_h_words(const rondo_cpu_call *call, int step, int thread) {
  const rondo_cpu_workspace *ws = &call->ws;
  if (!ws->h_words_thread) return ws->h_words[step % 2];
  const float *const *h = rondo_cpu_h_in(call, step);
  uint32_t *words = ws->h_words[0] + (size_t)thread * ws->h_words_thread;
  for (int r = 0; r < rondo_schedule_active(&call->schedule, step); r++)
    call->words((int)call->layout.outputs, h[r], words + (size_t)r * ws->h_words_row);
  return words;
}

void rondo_cpu_find_states(const rondo_cpu_call *call) {
  const rondo_pass *pass = call->pass;
  const rondo_cpu_workspace *ws = &call->ws;
  int lstm = pass->layer->cell == RONDO_LSTM, missing = pass->restart || !pass->h_0 || (lstm && !pass->c_0);
  rondo_cpu_range all = {0, (int)call->layout.outputs};
  if (missing) memset(ws->zeros, 0, call->layout.hidden * sizeof *ws->zeros); /* O is no more than H */
  for (int r = 0; r < pass->batch; r++) {
    int n = rondo_schedule_row(&call->schedule, r), restart = pass->restart && pass->restart[n];
    ptrdiff_t row = state_row(pass, n);
    ws->h_0[r] = pass->h_0 && !restart ? pass->h_0 + row * pass->h_stride : ws->zeros;
    for (int i = 0; i < 2; i++) ws->h_rows[i][r] = ws->h[i] + (size_t)r * ws->h_stride;
    if (lstm) {
      ws->c_0[r] = pass->c_0 && !restart ? pass->c_0 + row * pass->c_stride : ws->zeros;
      ws->c_rows[r] = pass->c_n ? pass->c_n + row * pass->c_stride : ws->c + (size_t)r * ws->c_stride;
    }
    if (call->words && !ws->h_words_thread)
      rondo_cpu_make_words(call, ws->h_0[r], call->layout.outputs, all, ws->h_words[0] + (size_t)r * ws->h_words_row);
    if (ws->inner) ws->inner_rows[r] = ws->inner + (size_t)r * call->layout.units;
  }
}

const float *const *rondo_cpu_h_in(const rondo_cpu_call *call, int step) {
  return step == 0 ? call->ws.h_0 : (const float *const *)call->ws.h_rows[step % 2];
}

const float *const *rondo_cpu_c_in(const rondo_cpu_call *call, int step) {
  return step == 0 ? call->ws.c_0 : (const float *const *)call->ws.c_rows;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* The same sum, product or mean as a kernel's. a NULL: zeros. */
static void merge_row(float *to, const float *a, int count, rondo_merge merge) {
  for (int j = 0; j < count; j++) {
    float value = a ? a[j] : 0.0f;
    switch (merge) {
      case RONDO_SUM: to[j] = to[j] + value; break;
      case RONDO_MUL: to[j] = to[j] * value; break;
      case RONDO_AVE: to[j] = (to[j] + value) * 0.5f; break;
      default: to[j] = value;
    }
  }
}

void rondo_cpu_fill_skipped(const rondo_cpu_call *call, rondo_cpu_range columns) {
  const rondo_pass *pass = call->pass;
  if (call->schedule.full || !pass->y) return;
  for (int r = 0; r < pass->batch; r++) {
    int n = rondo_schedule_row(&call->schedule, r), count = rondo_schedule_count(&call->schedule, r), step = 0;
    float *y = pass->y + n * pass->y_sequence + columns.begin;
    for (int p = 0; p < pass->timesteps; p++, y += pass->y_timestep) {
      if (step < count && rondo_schedule_position(&call->schedule, n, step) == p)
        step++;
      else /* only a layer of one direction repeats, and there is nothing to merge with then */
        merge_row(y, pass->zero_y || step == 0 ? NULL : y - pass->y_timestep, columns.count, pass->merge);
    }
  }
}

/* h after the last step that the row takes part in. */
static const float *last_h(const rondo_cpu_call *call, int r) {
  int count = rondo_schedule_count(&call->schedule, r);
  return count ? call->ws.h_rows[count % 2][r] : call->ws.h_0[r];
}

/* y_last is y at the last position; NULL: zeros. */
static const float *last_y(const rondo_cpu_call *call, int r) {
  int n = rondo_schedule_row(&call->schedule, r), count = rondo_schedule_count(&call->schedule, r);
  if (count == 0) return NULL;
  int real = rondo_schedule_position(&call->schedule, n, count - 1) == call->pass->timesteps - 1;
  return real || !call->pass->zero_y_last ? last_h(call, r) : NULL;
}

static void copy_row(float *to, const float *from, size_t count) {
  if (to != from) memcpy(to, from, count * sizeof *to); /* a state in place that no step has touched */
}

void rondo_cpu_write_results(const rondo_cpu_call *call) {
  const rondo_pass *pass = call->pass;
  for (int r = 0; r < pass->batch; r++) {
    int n = rondo_schedule_row(&call->schedule, r);
    ptrdiff_t row = state_row(pass, n);
    if (pass->y_last)
      merge_row(pass->y_last + n * pass->y_last_stride, last_y(call, r), pass->output_size, pass->merge);
    if (pass->h_n) copy_row(pass->h_n + row * pass->h_stride, last_h(call, r), call->layout.outputs);
    if (pass->c_n && rondo_schedule_count(&call->schedule, r) == 0)
      copy_row(pass->c_n + row * pass->c_stride, call->ws.c_0[r], call->layout.hidden);
  }
}
